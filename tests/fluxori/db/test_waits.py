"""What a command waits for is written while it waits."""

import re
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from fluxori.db import waits
from fluxori.db.deadlines import limit_waits
from fluxori.db.waits import waits_reported
from tests.support.factories.credits import make_balance
from tests.support.silent_proxy import through_silent_proxy
from tests.support.threads import in_other_thread, locked_in_other_thread


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(waits, "PATIENCE_SECONDS", 0.1)


@pytest.mark.django_db(transaction=True)
class TestWaitsReported:
    def test_a_lock_is_reported_with_the_session_that_holds_it(self):
        balance, errors = make_balance(), StringIO()

        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '700ms'")
        try:
            with locked_in_other_thread(balance), pytest.raises(CommandError, match="is locked"):
                call_command("rebuild_balance", str(balance.pk), stderr=errors)
        finally:
            connection.close()

        line = r"Waiting for a lock for \d+ s; it is held by session \d+, role .* \.\.\."
        assert [found for found in errors.getvalue().splitlines() if re.fullmatch(line, found)]

    def test_a_long_statement_is_reported_once_in_ten_seconds(self):
        lines: list[str] = []

        with waits_reported(lines.append), connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.7)")

        assert [re.sub(r"\d+ s", "N s", line) for line in lines] == ["Waiting for a statement that has run for N s ..."]

    def test_a_response_that_does_not_arrive_is_reported(self, pytestconfig):
        if pytestconfig.getoption("--restricted-role"):
            pytest.skip("The role of these tests does not see that the session of another role is idle.")
        lines: list[str] = []

        def wait():
            with through_silent_proxy() as proxy, limit_waits(0.8):
                connection.ensure_connection()
                proxy.fall_silent()
                with waits_reported(lines.append), pytest.raises(OperationalError), connection.cursor() as cursor:
                    cursor.execute("SELECT 1")

        with ThreadPoolExecutor(1) as pool:
            pool.submit(in_other_thread, wait).result()

        assert lines == ["Waiting for a response that the database has sent and that does not arrive ..."]

    def test_a_short_statement_is_not_reported(self, monkeypatch):
        monkeypatch.setattr(waits, "PATIENCE_SECONDS", 5)
        lines: list[str] = []

        with waits_reported(lines.append), connection.cursor() as cursor:
            cursor.execute("SELECT 1")

        assert lines == []
