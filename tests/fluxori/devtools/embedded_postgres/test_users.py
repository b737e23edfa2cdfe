"""Processes that use the embedded server: they share it, and the last one stops it, even if it is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.subprocess_project import (
    REAL,
    SHELL,
    Client,
    cluster_of,
    eventually,
    free_port,
    get,
    reset_signals,
    servers_of,
)

pytestmark = pytest.mark.slow


def postmaster_of(project: Path) -> int:
    return int((cluster_of(project).data / "postmaster.pid").read_text().split()[0])


def socket_folder(url: str) -> Path:
    return Path(parse_qs(urlsplit(url).query)["host"][0])


class TestUsers:
    def test_that_start_concurrently_share_one_server(self, project):
        clients = [Client(project) for _ in range(6)]

        systems = {client.query("SELECT system_identifier FROM pg_control_system()") for client in clients}
        start_times = {client.query("SELECT pg_postmaster_start_time()") for client in clients}
        for client in clients:
            client.close()

        assert (len(systems), len(start_times)) == (1, 1)
        assert [path.name for path in cluster_of(project).folder.glob("data*")] == ["data"]

    def test_stop_the_server_when_the_last_one_ends(self, project):
        first, second = Client(project), Client(project)
        assert first.url == second.url

        first.close()
        assert second.query("SELECT 1") == "1"
        second.close()

        assert not cluster_of(project).is_alive()
        assert not socket_folder(second.url).exists()
        assert eventually(lambda: not servers_of(project))

    def test_that_are_killed_are_no_longer_counted(self, project):
        survivor, killed = Client(project), Client(project)
        assert survivor.url == killed.url

        killed.kill()
        time.sleep(2)
        assert survivor.query("SELECT 1") == "1"
        survivor.kill()

        assert eventually(lambda: not servers_of(project))

    def test_reuse_the_server_if_the_supervisor_and_the_last_user_were_killed(self, project):
        killed = Client(project)
        started = killed.query("SELECT pg_postmaster_start_time()")
        for pid in servers_of(project):
            if pid != postmaster_of(project):
                os.kill(pid, signal.SIGKILL)  # the supervisor
        killed.kill()

        with Client(project) as client:
            assert client.query("SELECT pg_postmaster_start_time()") == started
        assert not cluster_of(project).is_alive()

    def test_ctrl_c_in_their_terminal_does_not_stop_the_server(self, project):
        with Client(project) as client:
            started = client.query("SELECT pg_postmaster_start_time()")

            client.press_ctrl_c()
            time.sleep(0.5)

            assert client.query("SELECT pg_postmaster_start_time()") == started

    def test_server_ends_if_the_project_is_deleted(self, project):
        client = Client(project)
        assert client.url

        while project.exists():
            shutil.rmtree(project, ignore_errors=True)  # the server may still write a file
        client.kill()

        assert eventually(lambda: not servers_of(project))
        assert not socket_folder(client.url).exists()


GUNICORN = """
import os, sys
from pathlib import Path
from fluxori.devtools.embedded_postgres import provide
provide("test", Path(sys.argv[1]))
import psycopg
from gunicorn.app.base import BaseApplication

class Application(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", f"127.0.0.1:{sys.argv[2]}")
        self.cfg.set("workers", 2)
        self.cfg.set("timeout", 2)  # workers check for their parent twice in this time
        self.cfg.set("loglevel", "error")
        self.cfg.set("control_socket_disable", True) if "control_socket_disable" in self.cfg.settings else None

    def load(self):
        return start_time

def start_time(environ, start_response):
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        (started,) = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
    start_response("200 OK", [("Connection", "close")])
    return [f"{os.getpid()}|{started}".encode()]

Application().run()
"""


class TestForks:
    """Children made by ``fork`` inherit the lock of their parent, and so are users of the server."""

    @pytest.fixture
    def gunicorn(self, project):
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-c", GUNICORN, str(project), str(port)],
            env={**SHELL, "PYTHONPATH": str(REAL)},
            preexec_fn=reset_signals,
        )
        yield process, f"http://127.0.0.1:{port}/"
        process.kill()
        process.wait()

    def test_server_runs_until_the_last_fork_has_ended(self, project, gunicorn):
        process, url = gunicorn
        worker, started = get(url).split("|")

        os.kill(int(worker), signal.SIGKILL)
        assert get(url).split("|")[1] == started
        process.send_signal(signal.SIGHUP)
        time.sleep(2)
        assert get(url).split("|")[1] == started
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)

        assert eventually(lambda: not servers_of(project))

    def test_server_ends_after_the_parent_of_the_forks_was_killed(self, project, gunicorn):
        process, url = gunicorn
        get(url)

        process.kill()

        assert eventually(lambda: not servers_of(project))
