"""A server with two worker processes on the database of the running test, as in production."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from django.db import connection

from fluxori.devtools.demo.server import PROJECT, command_of, stop
from tests.support.threads import wait_until

TOKEN = "a token of more than thirty-two characters"
PATIENCE = 60


@dataclass
class RunningServer:
    """A server that listens, its process, and the folder of its metrics."""

    name: str
    port: int
    process: "subprocess.Popen[str]"
    metrics_folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def status(self, path: str, *, timeout: float = 20, **headers: str) -> int:
        """Return the status of GET, or 0 if there is no response."""
        try:
            return int(urlopen(Request(f"{self.url}{path}", headers=headers), timeout=timeout).status)
        except HTTPError as error:
            return error.code
        except OSError:
            return 0

    def deduct(self, access: str, *, timeout: float = 30, key: str = "") -> int:
        """Deduct one credit and return the status, or 0 if there is no response."""
        headers = {"Authorization": f"Bearer {access}", "Content-Type": "application/json"}
        headers |= {"Idempotency-Key": key} if key else {}
        body = json.dumps({"amount": 1, "description": "One"}).encode()
        try:
            return int(urlopen(Request(f"{self.url}/api/credits/deduct", body, headers), timeout=timeout).status)
        except HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metrics(self, token: str = TOKEN) -> str:
        request = Request(f"{self.url}/metrics", headers={"Authorization": f"Bearer {token}"})
        return str(urlopen(request, timeout=20).read().decode())

    def workers(self) -> set[int]:
        """Return the ids of the worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in children.split() if _is_running(int(pid))}

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def raw(self, data: bytes) -> socket.socket:
        """Open a connection, send these bytes, and return the connection."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        client.sendall(data)
        return client


def _is_running(pid: int) -> bool:
    try:
        return re.search(r"\) [^ZX]", Path(f"/proc/{pid}/stat").read_text()) is not None
    except FileNotFoundError:
        return False


def start(name: str, port: int, **environment: str) -> "subprocess.Popen[str]":
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    return subprocess.Popen(
        command_of(name, port),
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": database, "METRICS_TOKEN": TOKEN, "LOG_LEVEL": "WARNING", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(name: str, folder: Path | None = None, **environment: str) -> Iterator[RunningServer]:
    """Run the server ``name`` while the block runs."""
    with TemporaryDirectory() as temporary:
        folder = folder or Path(temporary) / "metrics"
        port = free_port()
        process = start(name, port, PROMETHEUS_MULTIPROC_DIR=str(folder), **environment)
        server = RunningServer(name, port, process, folder)
        try:
            wait_until(lambda: server.status("/health/ready", timeout=5) == 200, PATIENCE)
            yield server
        finally:
            stop(process)
