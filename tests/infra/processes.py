"""Starts what a test needs beside itself, and ends it with the test."""

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
    """Runs until the stack is left, with everything that it starts itself."""
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
        # A group of its own: nothing but this process and its children is in it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    stack.callback(end)
    return process


def simulated_account(stack, demo, world="company"):
    """Puts up one of the demo's worlds; its endpoint."""
    port = free_port()
    running(stack, [demo, "--serve", port, world])
    wait_for(port)
    return f"http://127.0.0.1:{port}"
