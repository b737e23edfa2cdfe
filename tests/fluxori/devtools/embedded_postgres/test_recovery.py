"""Starts of the embedded server after something was killed or left incomplete."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.subprocess_project import Client, cluster_of, eventually

pytestmark = pytest.mark.slow


def is_zombie(pid: int) -> bool:
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.startswith("Z")


class TestRecovery:
    def test_keeps_committed_data_if_the_postmaster_was_killed(self, project):
        with Client(project, "dev") as client:
            client.query("CREATE TABLE note AS SELECT 'stored' AS text")
            pid = int((cluster_of(project, "dev").data / "postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGKILL)

            with Client(project, "dev") as other:
                assert other.query("SELECT text FROM note") == "stored"

    @pytest.mark.parametrize("kind", ["a running process of another program", "a zombie"])
    def test_ignores_a_stale_pid_file_that_names(self, project, kind):
        with Client(project) as client:
            pid_file = cluster_of(project).data / "postmaster.pid"
            lines = pid_file.read_text().split("\n")
            socket_lock = cluster_of(project).socket / ".s.PGSQL.5432.lock"
            assert client.url
        process = subprocess.Popen(["true"] if kind == "a zombie" else ["sleep", "60"])
        assert kind != "a zombie" or eventually(lambda: is_zombie(process.pid))

        content = "\n".join([str(process.pid), *lines[1:]])
        cluster_of(project).account.make_private(socket_lock.parent)
        pid_file.write_text(content)
        socket_lock.write_text(content)
        with Client(project) as client:
            assert client.query("SELECT 1") == "1"

        process.kill()
        process.wait()

    def test_creates_the_data_folder_again_if_its_creation_was_interrupted(self, project):
        with Client(project):
            pass
        folder: Path = cluster_of(project).folder
        (folder / "data").rename(folder / "data-new-half")
        (folder / "data-new-half" / "PG_VERSION").unlink()

        with Client(project) as client:
            assert client.query("SELECT 1") == "1"
        assert [path.name for path in folder.glob("data*")] == ["data"]

    def test_does_not_stop_a_server_that_was_started_by_other_means(self, project):
        with Client(project):
            pass
        cluster = cluster_of(project)
        cluster.account.make_private(cluster.socket)
        server = subprocess.Popen(cluster.command(), stdout=subprocess.DEVNULL, **cluster.account.popen_options())
        assert eventually(cluster.answers)

        errors = Client(project).fail()

        assert "started by other means" in errors
        assert server.poll() is None
        server.terminate()
        server.wait()
