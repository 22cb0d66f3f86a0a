"""Runs the release bootstrap under AWS's own runtime interface emulator: cold start, error contract, deadline, response.

    rie.py BOOTSTRAP_ZIP EMULATOR SIMULATED_AWS

The last is the demo's binary, which serves a simulated account.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from contextlib import ExitStack
from pathlib import Path

LAMBDA_RESPONSE_BYTES = 6_000_000


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")


def running(stack, command, environment=None, folder=None):
    process = subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def emulated(stack, bootstrap, emulator, endpoint, timeout):
    """A cold function of this timeout in seconds; what invokes it."""
    port, runtime_port = free_port(), free_port()
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-west-2",
        "AWS_ACCESS_KEY_ID": "AKIASIM123456789012",
        "AWS_SECRET_ACCESS_KEY": "simulated",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    }
    addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{port}", "--runtime-api-address", f"127.0.0.1:{runtime_port}"]
    running(stack, [emulator, *addresses, str(bootstrap)], environment, bootstrap.parent)
    wait_for(port)

    def invoke(event):
        url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        begun = time.monotonic()
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(event).encode()), timeout=120) as answer:
            body = answer.read()
        assert len(body) < LAMBDA_RESPONSE_BYTES, len(body)
        return json.loads(body), time.monotonic() - begun

    return invoke


def main():
    archive, emulator, simulated_aws = (Path(argument).resolve() for argument in sys.argv[1:])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        zipfile.ZipFile(archive).extractall(folder)
        bootstrap = folder / "bootstrap"
        bootstrap.chmod(0o755)
        aws_port = free_port()
        running(stack, [simulated_aws, "--serve", str(aws_port)])
        wait_for(aws_port)
        endpoint = f"http://127.0.0.1:{aws_port}"

        invoke = emulated(stack, bootstrap, emulator, endpoint, 900)
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

        # Less than the margin that is kept for the report.
        hurried = emulated(stack, bootstrap, emulator, endpoint, 8)
        report, took = hurried({"dryRun": True, "region": "us-west-2"})
        assert report["outcome"] == "deadlineReached" and took < 8, (report["outcome"], took)
    print("the runtime interface emulator: ok")


main()
