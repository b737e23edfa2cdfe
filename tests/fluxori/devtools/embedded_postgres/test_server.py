"""The configuration of the embedded server, and the reasons for which it refuses to start."""

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.subprocess_project import Client, cluster_of, project_folder


def socket_folder(url: str) -> Path:
    return Path(parse_qs(urlsplit(url).query)["host"][0])


@pytest.mark.slow
class TestServer:
    def test_listens_on_a_private_unix_socket_only(self, shared_project):
        with Client(shared_project) as client:
            folder = socket_folder(client.url)

            assert client.query("SELECT current_setting('listen_addresses') = ''") == "True"
            assert folder.stat().st_mode & 0o777 == 0o700
            assert len(str(folder)) < 60

    def test_for_development_is_durable(self, shared_project):
        with Client(shared_project, "dev") as client:
            settings = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums")

            assert [client.query(f"SHOW {setting}") for setting in settings] == ["on"] * 4

    def test_for_the_tests_is_another_one_that_does_not_sync(self, shared_project):
        with Client(shared_project, "dev") as dev, Client(shared_project, "test") as test:
            assert dev.url != test.url
            assert test.query("SHOW fsync") == "off"

    def test_sorts_by_code_point_and_changes_the_case_of_non_ascii_letters(self, shared_project):
        with Client(shared_project) as client:
            assert (
                client.query("SELECT string_agg(x, '' ORDER BY x) FROM (VALUES ('b'), ('B'), ('a')) AS t(x)") == "Bab"
            )
            if cluster_of(shared_project).binaries.major >= 17:
                assert client.query("SELECT upper('é')") == "É"

    def test_stores_its_data_in_a_project_folder_named_by_version(self, shared_project):
        with Client(shared_project) as client:
            major = int(client.query("SHOW server_version_num")) // 10000
            folder = shared_project / ".postgres" / str(major) / "test"

            assert client.query("SHOW data_directory") == str(folder / "data")
            assert folder.stat().st_mode & 0o777 == 0o700

    def test_keeps_its_data_between_two_runs(self, shared_project):
        with Client(shared_project) as first:
            first.query("CREATE TABLE note AS SELECT 'stored' AS text")

        with Client(shared_project) as second:
            assert second.query("SELECT text FROM note") == "stored"


@pytest.mark.slow
class TestStart:
    def test_works_for_a_project_with_a_long_path_of_special_characters(self):
        folders = ("long " * 20, "$(odd) 'quoted\" é", "x" * 100)
        with project_folder(*folders) as project, Client(project) as client:
            assert client.query("SELECT 1") == "1"

    @pytest.mark.parametrize("major", [15, 16, 17])
    def test_uses_the_installed_version_in_fluxori_postgres_bin(self, project, major):
        folder = f"/usr/lib/postgresql/{major}/bin"
        if not os.path.exists(f"{folder}/postgres"):
            pytest.skip(f"PostgreSQL {major} is not installed")

        with Client(project, FLUXORI_POSTGRES_BIN=folder) as client:
            assert client.query("SHOW server_version_num").startswith(str(major))
            assert client.query("SHOW data_checksums") == "on"

    def test_reports_the_end_of_the_log_if_the_server_does_not_start(self, project):
        with Client(project):
            pass
        (cluster_of(project).data / "global" / "pg_control").unlink()

        assert "pg_control" in Client(project).fail()


class TestRejectedFolders:
    def test_fluxori_postgres_bin_must_contain_postgresql(self, project):
        client = Client(project, FLUXORI_POSTGRES_BIN=str(project))

        assert "FLUXORI_POSTGRES_BIN names" in client.fail()

    def test_socket_folder_that_others_may_enter_is_rejected(self, project):
        folder = cluster_of(project).socket
        folder.mkdir()
        folder.chmod(0o755)
        try:
            errors = Client(project).fail()
        finally:
            folder.rmdir()

        assert f"{folder} must be a private folder" in errors

    def test_socket_folder_that_is_a_symbolic_link_is_rejected(self, project):
        folder = cluster_of(project).socket
        folder.symlink_to(project)
        try:
            errors = Client(project).fail()
        finally:
            folder.unlink()

        assert f"{folder} must be a private folder" in errors
