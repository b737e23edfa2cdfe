"""The processes of the demo, the benchmarks and the tests: the server as in production, and the worker of the demo.

The server listens on the loopback interface only.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[3]

FIRST_PORT = 8000
APPLICATION = "fluxori.wsgi:application"
GRANIAN, GUNICORN = "granian", "gunicorn"
SERVERS = (GRANIAN, GUNICORN)
WORKERS = 2
THREADS = 16
_PORTS = 100
_TIMEOUT = 60.0
_STOP_SECONDS = 40.0


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


def command_of(server: str, port: int, *, application: str = APPLICATION) -> list[str]:
    """Return the command that serves on ``port``. Its working folder is that of the project."""
    if server == GRANIAN:
        return [sys.executable, "-m", "fluxori.server", "--port", str(port), "--application", application]
    options = ["--workers", str(WORKERS), "--threads", str(THREADS), "--log-level", "warning"]
    return [sys.executable, "-m", "gunicorn", application, "--bind", f"127.0.0.1:{port}", *options]


@contextmanager
def serving(
    port: int, *, environ: Mapping[str, str] | None = None, server: str = "", application: str = APPLICATION
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the server on ``port`` while the block runs. ``environ`` overrides variables of this process.

    ``server`` is one of ``SERVERS``. Without it the variable HTTP_SERVER decides; the default is granian.

    :raises ServerError: the server ends, or is not ready within a minute
    """
    command = command_of(server or os.environ.get("HTTP_SERVER", GRANIAN), port, application=application)
    with _running(command, environ) as process:
        _wait_until_ready(process, port)
        yield process


def working(*, environ: Mapping[str, str] | None = None) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    """Run the worker of the background jobs while the block runs. It need not be ready for anything else."""
    return _running([sys.executable, "manage.py", "procrastinate", "worker"], environ)


@contextmanager
def _running(command: list[str], environ: Mapping[str, str] | None) -> Iterator["subprocess.Popen[bytes]"]:
    # In its own session, so that Ctrl-C reaches only this process, which then stops the other.
    process = subprocess.Popen(  # noqa: S603 (runs the current interpreter)
        command,
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        env={"LOG_LEVEL": "WARNING", **os.environ, **(environ or {})},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        stop(process)


def stop(process: "subprocess.Popen[Any]") -> None:
    """Stop a process that has a session of its own. Its children would go on if only the main process were killed."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


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
