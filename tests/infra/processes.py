"""Starts the processes that a test needs, and ends them with the test."""

import os
import signal
import socket
import subprocess
import time

ACCOUNT = "123456789012"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port):
    for _ in range(600):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")


def running(stack, command, environment=None, folder=None, log=subprocess.DEVNULL):
    """Runs a command until the stack exits. Then ends it together with its child processes."""
    process = subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, **(environment or {})},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )

    def end():
        # A separate group, which contains only this process and its children.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    stack.callback(end)
    return process


def simulated_account(stack, demo, world="company"):
    """Serves one of the demo's accounts, and returns its endpoint."""
    port = free_port()
    running(stack, [demo, "--serve", port, world])
    wait_for(port)
    return f"http://127.0.0.1:{port}"
