import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import RequestFactory

from fluxori.api import health


class TestLive:
    def test_asks_nobody(self, api):
        response = api().get("/health/live")

        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        assert response["X-Request-Id"]


@pytest.mark.django_db
class TestReady:
    def ask(self):
        return health.Readiness()(RequestFactory().get("/health/ready"))

    def test_answers_when_database_and_migrations_are_there(self, api):
        assert api().get("/health/ready").json() == {"status": "ok"}

    def test_asks_for_migrations_only_until_they_are_there(self, api, django_assert_num_queries):
        api().get("/health/ready")

        with django_assert_num_queries(1):
            api().get("/health/ready")

    def test_refuses_when_a_migration_is_missing(self):
        MigrationRecorder(connection).record_unapplied("identity", "0002_words_of_names")

        assert self.ask().status_code == 503

    def test_refuses_when_the_database_is_away(self, monkeypatch):
        def away():
            raise OperationalError

        monkeypatch.setattr(connection, "cursor", away)

        response = self.ask()
        assert response.status_code == 503
        assert (response["Content-Type"], response["Retry-After"]) == ("application/problem+json", "5")
