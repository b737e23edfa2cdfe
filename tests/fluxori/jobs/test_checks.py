"""The start-up check of the scheduler."""

from datetime import timedelta

import pytest
from django.core.checks import run_checks
from django.db import connection

from fluxori.jobs import checks

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _production(settings, monkeypatch):
    """Set production, on a database that has been there for a long time compared with the patience of the check."""
    settings.PRODUCTION = True
    monkeypatch.setattr(checks, "MISSING_AFTER", timedelta(0))


def is_missing():
    found = run_checks(tags=["database"], include_deployment_checks=True, databases=["default"])
    return "jobs.E001" in {message.id for message in found}


def execute(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


class TestScheduler:
    def test_is_missing_if_nothing_has_run_the_schedule(self):
        assert is_missing()

    def test_is_not_missing_if_a_worker_reports(self):
        execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (clock_timestamp() + interval '1 minute')")

        assert not is_missing()

    def test_is_missing_if_the_worker_has_not_reported_for_a_day(self):
        execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 day')")

        assert is_missing()

    def test_is_not_missing_if_cron_runs_the_commands(self):
        execute(
            "INSERT INTO credits_aggregationrun (id, started_at, finished_at, transactions, busy)"
            " VALUES (gen_random_uuid(), now() + interval '1 minute', now(), 0, 0)"
        )

        assert not is_missing()

    def test_is_not_expected_on_the_first_day(self, monkeypatch):
        monkeypatch.undo()

        assert checks.MISSING_AFTER.days == 1
        assert not is_missing()

    def test_is_not_expected_in_development(self, settings):
        settings.PRODUCTION = False

        assert not is_missing()

    def test_is_not_expected_before_the_first_migration(self):
        execute("CREATE SCHEMA empty")
        execute("SET LOCAL search_path TO empty")

        assert not is_missing()
