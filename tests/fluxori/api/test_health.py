import json
import socket
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import psycopg
import pytest
from django.db import OperationalError, connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import RequestFactory

from fluxori.api import health
from tests.support.silent_proxy import through_silent_proxy
from tests.support.threads import in_other_thread


class TestLive:
    def test_returns_200_without_a_database(self, api):
        response = api().get("/health/live")

        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        assert response["X-Request-Id"]


@pytest.mark.django_db
class TestReady:
    def get_ready(self):
        return health.Readiness()(RequestFactory().get("/health/ready"))

    def test_returns_200_if_the_database_has_all_migrations(self, api):
        assert api().get("/health/ready").json() == {"status": "ok"}

    def test_checks_migrations_only_until_they_are_complete(self, api, django_assert_num_queries):
        api().get("/health/ready")

        with django_assert_num_queries(4):  # two of them are the savepoint inside the transaction of the test
            api().get("/health/ready")

    def test_returns_503_if_a_migration_is_missing(self):
        [newest] = MigrationLoader(connection).graph.leaf_nodes("identity")
        MigrationRecorder(connection).record_unapplied(*newest)

        assert self.get_ready().status_code == 503

    def test_returns_503_if_the_database_is_read_only(self):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL transaction_read_only = on")

        response = self.get_ready()

        assert response.status_code == 503
        assert "read-only" in json.loads(response.content)["detail"]

    def test_returns_503_if_no_temporary_file_can_be_written(self):
        """A limit of the server stands for the full disk, because it fails at the same write."""
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL temp_file_limit = '16kB'")

        response = self.get_ready()

        assert response.status_code == 503

    def test_names_a_full_disk(self):
        def fail(*_):
            raise OperationalError from psycopg.errors.DiskFull()

        with connection.execute_wrapper(fail):
            response = self.get_ready()

        assert "disk" in json.loads(response.content)["detail"]

    def test_returns_503_if_the_database_cannot_be_reached(self, monkeypatch):
        def fail():
            raise OperationalError

        monkeypatch.setattr(connection, "cursor", fail)

        response = self.get_ready()
        assert response.status_code == 503
        assert (response["Content-Type"], response["Retry-After"]) == ("application/problem+json", "5")


@pytest.mark.django_db(transaction=True)
class TestSilentDatabase:
    def test_makes_ready_return_503_after_two_seconds(self):
        def get_ready():
            with through_silent_proxy() as proxy:
                connection.ensure_connection()
                proxy.fall_silent()
                started = monotonic()
                response = health.Readiness()(RequestFactory().get("/health/ready"))
                return response.status_code, monotonic() - started

        with ThreadPoolExecutor(1) as pool:
            status, seconds = pool.submit(in_other_thread, get_ready).result(timeout=20)

        assert status == 503
        assert 2 <= seconds < 4


@pytest.mark.slow
@pytest.mark.django_db
class TestConnectionThatDoesNotOpen:
    def test_makes_ready_return_503_after_two_seconds(self, tmp_path):
        """A server that accepts connections and never responds, as one that hangs."""

        def probe():
            own = connections["default"]
            connections["default"] = own.copy()
            connections["default"].settings_dict = {**own.settings_dict, "HOST": str(tmp_path), "PORT": "5432"}
            try:
                began = monotonic()
                response = health.Readiness()(RequestFactory().get("/health/ready"))
                return response.status_code, monotonic() - began
            finally:
                connections["default"] = own

        with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as pool:
            listener.bind(str(tmp_path / ".s.PGSQL.5432"))
            listener.listen()
            status, seconds = pool.submit(in_other_thread, probe).result()

        assert status == 503
        assert seconds < 4
