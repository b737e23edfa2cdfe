"""The server of the demo and of the benchmarks: gunicorn as in production, on the loopback interface only."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException

FIRST_PORT = 8000
WORKERS = 2
THREADS = 16
_PORTS = 100
_TIMEOUT = 60.0


class ServerError(Exception):
    """The server did not start, or there is no free port."""


def free_port(requested: int | None) -> int:
    """Return ``requested`` if it is free, or without it the first free port from 8000 on.

    :raises ServerError: the requested port is in use, or no port is free
    """
    for port in [requested] if requested is not None else range(FIRST_PORT, FIRST_PORT + _PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError(f"Port {requested} is in use." if requested is not None else "There is no free port.")


@contextmanager
def serving(port: int, *, environ: Mapping[str, str] | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the server on ``port`` while the block runs. ``environ`` overrides variables of this process.

    :raises ServerError: the server ends, or is not ready within a minute
    """
    command = [sys.executable, "-m", "gunicorn", "fluxori.wsgi", "--bind", f"127.0.0.1:{port}"]
    command += ["--workers", str(WORKERS), "--threads", str(THREADS), "--log-level", "warning"]
    # In its own session, so that Ctrl-C reaches only this process, which then stops the server.
    server = subprocess.Popen(  # noqa: S603 (runs the current interpreter)
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        env={"LOG_LEVEL": "WARNING", **os.environ, **(environ or {})},
        start_new_session=True,
    )
    try:
        _wait_until_ready(server, port)
        yield server
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_ready(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ServerError(f"The server ended during its start, with status {server.returncode}.")
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    raise ServerError("The server was not ready within a minute.")
