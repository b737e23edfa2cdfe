"""``manage.py`` and the pytest plugin as a user runs them, in a small project."""

import os
import re
import signal
import subprocess
import sys
import time

import psycopg
import pytest

from fluxori.devtools.embedded_postgres import locks
from fluxori.devtools.former_schema import FORMER_MIGRATION
from tests.support.subprocess_project import (
    SHELL,
    Client,
    cluster_of,
    eventually,
    free_port,
    get,
    manage,
    project_folder,
    reset_signals,
    running,
    servers_of,
    write_project,
)

TEST_FILE = """
import os, pathlib, time
import pytest
from django.db import connection

@pytest.mark.django_db
@pytest.mark.parametrize("turn", range(2))
def test_works(turn):
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database(), current_setting('fsync')")
        print("database %s fsync %s" % cursor.fetchone())

def test_fails():
    assert False

def test_waits(db):
    if "WAIT" not in os.environ:
        return
    note = pathlib.Path("waiting")
    note.touch()
    while note.exists():
        time.sleep(0.05)
"""


@pytest.fixture
def project():
    with project_folder() as folder:
        write_project(folder)
        yield folder


@pytest.fixture(scope="module")
def project_with_tests():
    """Return one project for all tests of the module: they leave nothing behind."""
    with project_folder() as folder:
        write_project(folder)
        (folder / "tests").mkdir()
        (folder / "tests" / "test_it.py").write_text(TEST_FILE)
        yield folder


@pytest.mark.slow
class TestManage:
    @pytest.mark.parametrize(
        "command",
        [
            "check",
            "help",
            "--help",
            "version",
            "migrate --help",
            "makemigrations --check",
            "test --help",
            "diffsettings",
        ],
    )
    def test_starts_no_server_for(self, project, command):
        completed = manage(project, *command.split())

        assert (completed.returncode, completed.stderr) == (0, "")
        assert not (project / ".postgres").exists()

    def test_starts_no_server_if_database_url_is_set(self, project):
        completed = manage(project, "migrate", DATABASE_URL="postgresql://nobody@/none?host=/nonexistent")

        assert completed.returncode != 0
        assert "/nonexistent" in completed.stderr
        assert not (project / ".postgres").exists()

    def test_starts_no_server_in_production(self, project):
        assert manage(project, "migrate", ENVIRONMENT="production").returncode != 0
        assert not (project / ".postgres").exists()

    def test_keeps_the_data_of_a_command_and_stops_the_server_after_it(self, project):
        assert manage(project, "migrate").returncode == 0
        completed = manage(project, "showmigrations", "--plan")

        assert completed.stdout.count("[X]") == 2
        assert completed.stderr == ""
        assert eventually(lambda: not servers_of(project))

    def test_rejects_an_old_python_and_names_the_remedy(self, project):
        code = "import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path('manage.py', run_name='__main__')"

        completed = subprocess.run(
            [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False
        )

        assert completed.returncode == 1
        assert "needs Python 3.11 or newer; this is 3.9.2" in completed.stderr
        assert "python3.11 manage.py" in completed.stderr


@pytest.mark.slow
class TestRunserver:
    def test_keeps_its_server_through_autoreload_and_ends_on_ctrl_c(self, project):
        port = free_port()
        with running(project, "runserver", str(port)) as process:
            _, started = get(f"http://127.0.0.1:{port}/").split()
            urls = project / "fluxori" / "urls.py"
            time.sleep(1.5)  # autoreload compares modification times once a second

            urls.write_text(urls.read_text().replace("first", "second"))

            assert eventually(lambda: get(f"http://127.0.0.1:{port}/").startswith("second"))
            assert get(f"http://127.0.0.1:{port}/").split()[1] == started
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=30)
        assert eventually(lambda: not servers_of(project))

    def test_server_is_shown_by_status_and_ended_by_stop(self, project):
        port = free_port()
        with running(project, "runserver", "--noreload", str(port)):
            assert get(f"http://127.0.0.1:{port}/").startswith("first")
            status = manage(project, "postgres", "status")
            assert status.returncode == 0
            assert "is running, in use" in status.stdout

            assert manage(project, "postgres", "stop").returncode == 0

            assert manage(project, "postgres", "status").returncode == 3
            assert eventually(lambda: not servers_of(project))


class TestPostgres:
    def test_status_of_a_stopped_server_is_3_and_starts_none(self, project):
        assert (manage(project, "postgres", "status").returncode, servers_of(project)) == (3, {})

    def test_psql_connects_to_the_database_of_the_project(self, project):
        completed = manage(project, "postgres", "psql", "-Atc", "SELECT current_database()")

        assert completed.stdout == "fluxori\n"


@pytest.mark.slow
class TestTestCommand:
    """``manage.py test`` runs pytest with its own database."""

    def test_uses_a_server_of_its_own_that_stops_afterwards(self, project_with_tests):
        completed = manage(project_with_tests, "test", "-s", "-k", "works")

        assert completed.returncode == 0, completed.stdout + completed.stderr
        assert "database test_fluxori_1 fsync off" in completed.stdout
        assert eventually(lambda: not servers_of(project_with_tests))
        assert [path.parent.name for path in project_with_tests.glob(".postgres/*/*/data")] == ["test"]

    @pytest.mark.parametrize(("arguments", "status"), [("-k fails", 1), ("-k nothing", 5), ("--no-such-option", 4)])
    def test_has_the_exit_status_of_pytest(self, project_with_tests, arguments, status):
        assert manage(project_with_tests, "test", *arguments.split()).returncode == status

    def test_works_the_same_if_pytest_is_called_directly(self, project_with_tests):
        completed = subprocess.run(
            [f"{sys.prefix}/bin/pytest", "-n", "2", "-v", "-k", "works"],
            cwd=project_with_tests,
            env=SHELL,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=reset_signals,
        )

        assert completed.returncode == 0, completed.stdout + completed.stderr
        assert eventually(lambda: not servers_of(project_with_tests))

    def test_runs_everything_in_parallel_without_arguments(self, project_with_tests):
        completed = manage(project_with_tests, "test")

        assert completed.returncode == 1
        assert "1 failed, 3 passed" in completed.stdout
        assert re.search(r"\d workers? \[4 items\]", completed.stdout)

    def test_concurrent_runs_use_different_databases(self, project_with_tests):
        with running(project_with_tests, "test", "-k", "waits", WAIT="1") as first:
            assert eventually((project_with_tests / "waiting").exists)

            second = manage(project_with_tests, "test", "-s", "-k", "works")

            assert second.returncode == 0, second.stdout + second.stderr
            assert "database test_fluxori_2" in second.stdout
            (project_with_tests / "waiting").unlink()
            assert first.wait(timeout=60) == 0

    def test_stops_at_databases_of_the_former_schema_and_names_the_folder_to_remove(self, project_with_tests):
        cluster = cluster_of(project_with_tests)
        with Client(project_with_tests) as client:
            client.query("CREATE DATABASE test_fluxori_1")
            with psycopg.connect(cluster.url("test_fluxori_1")) as connection:
                connection.execute("CREATE TABLE django_migrations (app text, name text)")
                connection.execute("INSERT INTO django_migrations VALUES (%s, %s)", FORMER_MIGRATION)

            completed = manage(project_with_tests, "test", "-k", "works")

            assert (completed.returncode, completed.stdout) == (1, "")
            assert completed.stderr.strip().splitlines() == [
                f"{cluster.folder} holds databases of an earlier version. To begin again: rm -r {cluster.folder}"
            ]
            with psycopg.connect(cluster.url("test_fluxori_1")) as connection:
                assert connection.execute("SELECT * FROM django_migrations").fetchall() == [FORMER_MIGRATION]
            client.query("DROP DATABASE test_fluxori_1")
        # The number that the rejected run used is free again.
        lock = locks.try_exclusive(cluster.folder / "run-1.lock", cluster.account)
        assert lock is not None
        os.close(lock)
