"""Runs the release bootstrap under AWS's own runtime interface emulator: cold start, errors, deadline, response, panic.

    rie.py BOOTSTRAP_ZIP EMULATOR DEMO

DEMO is the demo's binary, which serves simulated accounts.
"""

import json
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from contextlib import ExitStack
from pathlib import Path

from processes import ACCOUNT, free_port, running, simulated_account, wait_for

LAMBDA_RESPONSE_BYTES = 6_000_000


class Emulator:
    """Runs a bootstrap in the same way as Lambda."""

    def __init__(self, stack, emulator, bootstrap):
        self.stack, self.emulator, self.bootstrap = stack, emulator, bootstrap

    def function(self, endpoint, timeout, bootstrap=None, log=subprocess.DEVNULL):
        """Starts a cold function with this timeout in seconds. Returns a function that invokes it."""
        port, runtime_port = free_port(), free_port()
        environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": "us-west-2",
            "AWS_ACCESS_KEY_ID": f"AKIASIM{ACCOUNT}",
            "AWS_SECRET_ACCESS_KEY": "simulated",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        }
        address, runtime_api = f"127.0.0.1:{port}", f"127.0.0.1:{runtime_port}"
        addresses = ["--runtime-interface-emulator-address", address, "--runtime-api-address", runtime_api]
        bootstrap = bootstrap or self.bootstrap
        running(self.stack, [self.emulator, *addresses, bootstrap], environment, bootstrap.parent, log)
        wait_for(port)

        def invoke(event):
            url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
            begun = time.monotonic()
            with urllib.request.urlopen(urllib.request.Request(url, json.dumps(event).encode()), timeout=120) as answer:
                body = answer.read()
            assert len(body) < LAMBDA_RESPONSE_BYTES, len(body)
            return json.loads(body), time.monotonic() - begun

        return invoke


def check_cold_start_and_errors(emulator, demo):
    invoke = emulator.function(simulated_account(emulator.stack, demo), 900)
    report, cold = invoke({"dryRun": True})
    assert report["outcome"] == "planned" and report["totals"]["imagesStale"] > 1_000, report["outcome"]
    again, warm = invoke({"dryRun": True})
    assert again["totals"] == report["totals"]
    print(f"a dry run: {cold:.2f} s cold, {warm:.2f} s warm")

    error, _ = invoke({"imagesToKeep": "ten"})
    assert error["errorType"] == "InvalidSettings" and "imagesToKeep" in error["errorMessage"], error
    error, _ = invoke({"dryRun": False, "maxDeletions": 1})
    assert error["errorType"] == "TooManyDeletions", error
    report, _ = invoke({"dryRun": True})
    assert report["outcome"] == "planned", "it serves on after an error"


def check_deadline(emulator, demo):
    # Less than the margin for the report.
    hurried = emulator.function(simulated_account(emulator.stack, demo), 8)
    report, took = hurried({"dryRun": True, "region": "us-west-2"})
    assert report["outcome"] == "deadlineReached" and took < 8, (report["outcome"], took)

    # An endpoint that accepts every connection and never answers.
    silent = emulator.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
    stuck = emulator.function(f"http://127.0.0.1:{silent.getsockname()[1]}", 5)
    error, took = stuck({"dryRun": False})
    assert error.get("errorType") == "UsageIncomplete" and "increase the function's timeout" in error["errorMessage"], error
    assert took < 5, took
    print(f"no call is answered, and the function returns after {took:.1f} s of its 5 s")


def check_response(emulator, demo):
    """More stale images than fit into a response: its lists are cut, and its totals are complete."""
    invoke = emulator.function(simulated_account(emulator.stack, demo, "large"), 900)
    report, took = invoke({"dryRun": True})
    listed = sum(len(repository["stale"]) for region in report["regions"] for repository in region["repositories"])
    stale = report["totals"]["imagesStale"]
    assert report["truncatedImages"] > 0 and listed + report["truncatedImages"] == stale, (listed, stale)
    print(f"{stale} stale images in {took:.1f} s, of which the response lists {listed}")


def check_panic(emulator, demo, folder):
    """A panic fails the invocation with an error document, and the process continues.

    The function has no way to trigger a panic, so its clock fails once, and reading that clock panics.
    """
    fails_at = folder / "clock-fails-at"
    library = folder / "clock.so"
    source = Path(__file__).with_name("clock_fails_once.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    start = folder / "start"
    process_ids = folder / "process-ids"
    environment = shlex.join([f"LD_PRELOAD={library}", f"CLOCK_FAILS_AT={fails_at}"])
    bootstrap = shlex.quote(str(emulator.bootstrap))
    start.write_text(f"#!/bin/sh\necho $$ >> {shlex.quote(str(process_ids))}\nexec env {environment} {bootstrap}\n")
    start.chmod(0o755)
    log = emulator.stack.enter_context((folder / "log").open("w"))
    invoke = emulator.function(simulated_account(emulator.stack, demo), 60, start, log)
    assert invoke({"dryRun": True})[0]["outcome"] == "planned"
    fails_at.touch()
    error, _ = invoke({"dryRun": True})
    assert error["errorType"] == "Panic" and "panicked" in error["errorMessage"], error
    assert not fails_at.exists()
    assert invoke({"dryRun": True})[0]["outcome"] == "planned", "it serves on after a panic"
    assert len(process_ids.read_text().split()) == 1, "and it is the same process"
    print(f"the function returns a panic as {error}")


def main():
    archive, emulator, demo = (Path(argument).resolve() for argument in sys.argv[1:])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        zipfile.ZipFile(archive).extractall(folder)
        bootstrap = folder / "bootstrap"
        bootstrap.chmod(0o755)
        emulator = Emulator(stack, emulator, bootstrap)
        check_cold_start_and_errors(emulator, demo)
        check_deadline(emulator, demo)
        check_response(emulator, demo)
        check_panic(emulator, demo, folder)
    print("the runtime interface emulator: ok")


main()
