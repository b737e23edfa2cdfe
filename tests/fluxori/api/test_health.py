import pytest
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import RequestFactory

from fluxori.api import health


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

        with django_assert_num_queries(1):
            api().get("/health/ready")

    def test_returns_503_if_a_migration_is_missing(self):
        [newest] = MigrationLoader(connection).graph.leaf_nodes("identity")
        MigrationRecorder(connection).record_unapplied(*newest)

        assert self.get_ready().status_code == 503

    def test_returns_503_if_the_database_cannot_be_reached(self, monkeypatch):
        def fail():
            raise OperationalError

        monkeypatch.setattr(connection, "cursor", fail)

        response = self.get_ready()
        assert response.status_code == 503
        assert (response["Content-Type"], response["Retry-After"]) == ("application/problem+json", "5")
