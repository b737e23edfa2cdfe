"""The demo's server: the same application and server as in production, on the loopback only."""

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
_PATIENCE = 60.0


class NoServer(Exception):
    """The server did not come up, or found no port."""


def free_port(wanted: int | None) -> int:
    """Return ``wanted`` if it is free, or the first free port from 8000 on.

    :raises NoServer: if it is taken, or none is free
    """
    for port in [wanted] if wanted is not None else range(FIRST_PORT, FIRST_PORT + _PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NoServer(f"Port {wanted} is taken." if wanted is not None else "No free port was found.")


@contextmanager
def serving(port: int, *, environ: Mapping[str, str] | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """Serve on ``port`` of the loopback while the block runs, with ``environ`` over our own environment.

    :raises NoServer: if it does not answer within a minute
    """
    command = [sys.executable, "-m", "gunicorn", "fluxori.wsgi", "--bind", f"127.0.0.1:{port}"]
    command += ["--workers", str(WORKERS), "--threads", str(THREADS), "--log-level", "warning"]
    # A session of its own: Ctrl-C reaches us, and we stop it.
    server = subprocess.Popen(  # noqa: S603 - our own interpreter
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        env={"LOG_LEVEL": "WARNING", **os.environ, **(environ or {})},
        start_new_session=True,
    )
    try:
        _wait(server, port)
        yield server
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise NoServer(f"The server stopped at once, with status {server.returncode}.")
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
    raise NoServer("The server did not become ready within a minute.")
