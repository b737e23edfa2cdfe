"""The printed lines of the schedule run as they stand: with an empty environment and the file that they name."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from django.db import connection

from fluxori.jobs.schedule import COMMANDS

PROJECT = Path(__file__).parents[2]
LINES = re.findall(
    r"^(?:\S+ +){5}fluxori +(cd /srv/fluxori .*)$", (PROJECT / "docs/how-to/operate.md").read_text(), re.MULTILINE
)
UNIT = PROJECT / "deploy/systemd/fluxori@.service"
WORKER_UNIT = PROJECT / "deploy/systemd/fluxori-worker.service"


def run_line(line: str, environment: Path) -> subprocess.CompletedProcess[str]:
    """Run a line as cron does, with the folders of this machine in place of the printed ones."""
    line = line.replace("/srv/fluxori", str(PROJECT)).replace("/etc/fluxori/environment", str(environment))
    return subprocess.run(
        ["/bin/sh", "-c", line],
        env={"PATH": "/usr/bin:/bin", "HOME": "/", "SHELL": "/bin/sh"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def environment(tmp_path):
    """Return a file with the environment of production, on the database of the tests."""
    path = tmp_path / "environment"
    url = re.sub(r"/[^/?]*\?", f"/{connection.settings_dict['NAME']}?", os.environ["DATABASE_URL"])
    path.write_text(
        f"ENVIRONMENT=production\nSECRET_KEY={'k3y-x' * 20}\nALLOWED_HOSTS=credits.example\nDATABASE_URL='{url}'\n"
    )
    return path


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestCronLines:
    def test_are_the_commands_of_the_schedule(self):
        assert [line.rpartition(" ")[2] for line in LINES] == list(COMMANDS)

    @pytest.mark.parametrize("line", LINES, ids=lambda line: line.rpartition(" ")[2])
    def test_run_with_an_empty_environment_and_the_file_that_they_name(self, environment, line):
        completed = run_line(line, environment)

        assert completed.returncode == 0, completed.stderr

    def test_without_the_file_fail_in_one_line(self, tmp_path):
        completed = run_line(LINES[0], tmp_path / "missing")

        assert completed.returncode != 0
        assert len(completed.stderr.splitlines()) == 1

    def test_with_an_empty_file_name_what_is_missing(self, environment):
        environment.write_text("ENVIRONMENT=production\n")

        completed = run_line(LINES[0], environment)

        assert completed.returncode != 0
        assert "SECRET_KEY" in completed.stderr
        assert "Traceback" not in completed.stderr


class TestSystemdUnits:
    @pytest.mark.parametrize(
        ("file", "command"), [(UNIT, "%i"), (WORKER_UNIT, "procrastinate worker")], ids=["command", "worker"]
    )
    def test_run_in_the_same_folder_and_environment_as_cron(self, file, command):
        unit = file.read_text()

        for part in ("WorkingDirectory=/srv/fluxori", "EnvironmentFile=/etc/fluxori/environment", "User=fluxori"):
            assert part in unit
        assert f"\nExecStart=/srv/fluxori/.venv/bin/python manage.py {command}\n" in unit
