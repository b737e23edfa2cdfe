"""``manage.py`` and the tests' plugin, as a person uses them, in a small project of their own."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.support.subprocess_project import (
    SHELL,
    eventually,
    free_port,
    get,
    manage,
    project_folder,
    running,
    servers_of,
    write_project,
)

IT = """
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

pytestmark = pytest.mark.slow


@pytest.fixture
def project():
    with project_folder() as folder:
        write_project(folder)
        yield folder


@pytest.fixture(scope="module")
def tested():
    """Give a project with tests; one will do, for they leave nothing behind."""
    with project_folder() as folder:
        write_project(folder)
        (folder / "tests").mkdir()
        (folder / "tests" / "test_it.py").write_text(IT)
        yield folder


class TestManage:
    @pytest.mark.parametrize(
        "words",
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
    def test_starts_nothing_for(self, project, words):
        done = manage(project, *words.split())

        assert (done.returncode, done.stderr) == (0, "")
        assert not (project / ".postgres").exists()

    def test_starts_nothing_if_a_database_is_named(self, project):
        done = manage(project, "migrate", DATABASE_URL="postgresql://nobody@/none?host=/nonexistent")

        assert done.returncode != 0
        assert "/nonexistent" in done.stderr
        assert not (project / ".postgres").exists()

    def test_starts_nothing_in_production(self, project):
        assert manage(project, "migrate", ENVIRONMENT="production").returncode != 0
        assert not (project / ".postgres").exists()

    def test_gives_a_command_a_database_that_lasts_and_stops_the_server_after_it(self, project):
        assert manage(project, "migrate").returncode == 0
        shown = manage(project, "showmigrations", "--plan")

        assert shown.stdout.count("[X]") == 2
        assert shown.stderr == ""
        assert eventually(lambda: not servers_of(project))

    def test_tells_a_person_how_the_server_is_and_stops_it(self, project):
        assert (manage(project, "postgres", "status").returncode, servers_of(project)) == (3, {})

        asked = manage(project, "postgres", "psql", "-Atc", "SELECT current_database()")
        assert asked.stdout == "fluxori\n"

        port = free_port()
        with running(project, "runserver", "--noreload", str(port)):
            assert get(f"http://127.0.0.1:{port}/").startswith("first")
            status = manage(project, "postgres", "status")
            assert status.returncode == 0
            assert "runs, in use" in status.stdout

            assert manage(project, "postgres", "stop").returncode == 0

            assert manage(project, "postgres", "status").returncode == 3
            assert eventually(lambda: not servers_of(project))

    def test_runs_on_through_autoreload_and_ends_on_ctrl_c(self, project):
        port = free_port()
        with running(project, "runserver", str(port)) as process:
            _, started = get(f"http://127.0.0.1:{port}/").split()
            urls = project / "fluxori" / "urls.py"
            time.sleep(1.5)  # files are looked at once a second, and their times compared

            urls.write_text(urls.read_text().replace("first", "second"))

            assert eventually(lambda: get(f"http://127.0.0.1:{port}/").startswith("second"))
            assert get(f"http://127.0.0.1:{port}/").split()[1] == started
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=30)
        assert eventually(lambda: not servers_of(project))

    def test_says_what_to_do_if_python_is_too_old(self, project):
        pretend = "import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path('manage.py', run_name='__main__')"

        done = subprocess.run([sys.executable, "-c", pretend], cwd=project, capture_output=True, text=True, check=False)

        assert done.returncode == 1
        assert "needs Python 3.11 or newer; this is 3.9.2" in done.stderr
        assert "python3.11 manage.py" in done.stderr


class TestTests:
    """``manage.py test`` is pytest, with a database of the tests' own."""

    def test_run_on_the_throw_away_server_which_ends_with_them(self, tested):
        done = manage(tested, "test", "-s", "-k", "works")

        assert done.returncode == 0, done.stdout + done.stderr
        assert "database test_fluxori_1 fsync off" in done.stdout
        assert eventually(lambda: not servers_of(tested))
        assert [path.parent.name for path in tested.glob(".postgres/*/*/data")] == ["test"]

    @pytest.mark.parametrize(("words", "status"), [("-k fails", 1), ("-k nothing", 5), ("--no-such-option", 4)])
    def test_end_with_the_status_of_pytest(self, tested, words, status):
        assert manage(tested, "test", *words.split()).returncode == status

    def test_work_alike_by_the_bare_pytest_and_its_workers(self, tested):
        done = subprocess.run(
            [f"{sys.prefix}/bin/pytest", "-n", "2", "-v", "-k", "works"],
            cwd=tested,
            env=SHELL,
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert eventually(lambda: not servers_of(tested))

    def test_all_run_on_several_processes_if_none_is_named(self, tested):
        done = manage(tested, "test")

        assert done.returncode == 1
        assert "1 failed, 3 passed" in done.stdout
        assert re.search(r"\d workers? \[4 items\]", done.stdout)

    def test_of_two_runs_at_once_do_not_share_a_database(self, tested):
        with running(tested, "test", "-k", "waits", WAIT="1") as first:
            assert eventually((tested / "waiting").exists)

            second = manage(tested, "test", "-s", "-k", "works")

            assert second.returncode == 0, second.stdout + second.stderr
            assert "database test_fluxori_2" in second.stdout
            (tested / "waiting").unlink()
            assert first.wait(timeout=60) == 0
