"""The metrics of a server with two worker processes, and its messages at the start."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.support.threads import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PROJECT = Path(__file__).parents[2]
TOKEN = "a token of more than thirty-two characters"
PATIENCE = 60


def command(port: int) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "fluxori.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", "2"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(port: int, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(port),
        cwd=PROJECT,
        env={**os.environ, "METRICS_TOKEN": TOKEN, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    port = free_port()
    server = start(port, PROMETHEUS_MULTIPROC_DIR=str(folder))
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(f"{url}/health/live"), PATIENCE)
        yield url
    finally:
        server.terminate()
        server.communicate(timeout=PATIENCE)


def answers(url: str) -> bool:
    try:
        return bool(urlopen(url, timeout=5).status == 200)
    except OSError:
        return False


def read(url: str, token: str = TOKEN) -> str:
    request = Request(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"})
    return str(urlopen(request, timeout=20).read().decode())


def requests_to_live(text: str) -> float:
    [number] = re.findall(
        r'^fluxori_http_request_duration_seconds_count{.*route="/health/live".*} (\S+)$', text, re.MULTILINE
    )
    return float(number)


class TestServer:
    def test_sums_the_requests_of_all_workers_and_of_those_that_have_ended(self, tmp_path):
        with serving(tmp_path / "metrics") as url:
            before = requests_to_live(read(url))
            for _ in range(40):
                assert answers(f"{url}/health/live")

            assert requests_to_live(read(url)) == before + 40
            workers = {int(re.findall(r"_(\d+)\.db", file.name)[0]) for file in (tmp_path / "metrics").iterdir()}
            assert len(workers) == 2
            os.kill(min(workers), signal.SIGKILL)
            wait_until(lambda: answers(f"{url}/health/live"), PATIENCE)
            assert requests_to_live(read(url)) >= before + 40

    def test_begins_without_the_files_of_an_earlier_server(self, tmp_path):
        (tmp_path / "counter_1.db").write_bytes(b"not valid")

        with serving(tmp_path) as url:
            assert "fluxori_group_commit_requests" in read(url)

        assert not (tmp_path / "counter_1.db").exists()

    def test_refuses_a_wrong_token(self, tmp_path):
        with serving(tmp_path) as url, pytest.raises(HTTPError) as error:
            read(url, "wrong")

        assert error.value.code == 401


class TestStart:
    def errors(self, **environment: str) -> list[str]:
        """Return the lines that the server writes before it ends, without those of gunicorn itself."""
        server = start(free_port(), **environment)
        try:
            _, errors = server.communicate(timeout=PATIENCE)
        finally:
            server.kill()
        assert server.returncode != 0
        return [line for line in errors.splitlines() if not line.startswith("[")]

    def test_reports_a_folder_that_cannot_be_written_in_one_line(self, tmp_path):
        (tmp_path / "file").touch()

        [line] = self.errors(PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "file"))

        assert line.startswith("PROMETHEUS_MULTIPROC_DIR cannot be used: ")

    def test_reports_that_the_folder_is_missing_in_one_line(self):
        [line] = self.errors()

        assert line.startswith("METRICS_TOKEN requires PROMETHEUS_MULTIPROC_DIR")

    def test_reports_all_errors_of_the_settings_in_one_line(self, tmp_path):
        [line] = self.errors(PROMETHEUS_MULTIPROC_DIR=str(tmp_path), THROTTLE_USER="many", LOG_LEVEL="loud")

        assert line.startswith("The environment is not valid: ")
        assert "THROTTLE_USER" in line
        assert "LOG_LEVEL" in line
