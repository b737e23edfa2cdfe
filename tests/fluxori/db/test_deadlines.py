"""Deadlines: a wait for a silent database ends by itself."""

from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from django.db import InterfaceError, OperationalError, close_old_connections, connection, transaction

from credits.verification import run
from fluxori.db import deadlines, statements
from fluxori.db.deadlines import limit_waits, long_statements
from tests.support.silent_proxy import through_silent_proxy
from tests.support.threads import in_other_thread

pytestmark = pytest.mark.django_db(transaction=True)


def on_silent_connection(wait):
    """Run ``wait`` with a proxy whose connections can fall silent, and a deadline of 0.3 s."""

    def run():
        with through_silent_proxy() as proxy, limit_waits(0.3):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            return wait(proxy)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(in_other_thread, run).result(timeout=20)


def fail_in_time(call):
    started = monotonic()
    with pytest.raises((OperationalError, InterfaceError)):
        call()
    return monotonic() - started


class TestSilentConnection:
    def test_ends_a_statement_of_the_orm(self):
        def wait(proxy):
            proxy.fall_silent()
            with connection.cursor() as cursor:
                return fail_in_time(lambda: cursor.execute("SELECT 2"))

        assert 0.3 <= on_silent_connection(wait) < 2

    def test_ends_a_prepared_statement(self):
        def wait(proxy):
            proxy.fall_silent()
            return fail_in_time(lambda: statements.fetch("SELECT 2 AS number", []))

        assert 0.3 <= on_silent_connection(wait) < 2

    def test_ends_a_commit(self):
        def wait(proxy):
            def commit():
                with transaction.atomic():
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT 2")
                    proxy.fall_silent()

            return fail_in_time(commit)

        assert 0.3 <= on_silent_connection(wait) < 2

    def test_ends_the_check_of_a_kept_connection(self):
        def wait(proxy):
            proxy.fall_silent()
            started = monotonic()
            assert not connection.is_usable()
            return monotonic() - started

        assert 0.3 <= on_silent_connection(wait) < 2

    def test_is_replaced_by_a_new_connection(self):
        def wait(proxy):
            proxy.fall_silent()
            with connection.cursor() as cursor:
                fail_in_time(lambda: cursor.execute("SELECT 2"))
            close_old_connections()  # as Django does between two requests
            with connection.cursor() as cursor:
                cursor.execute("SELECT 3")
                return cursor.fetchone()

        assert on_silent_connection(wait) == (3,)


class TestDeadline:
    def test_is_not_exceeded_by_many_short_statements(self):
        with limit_waits(0.3):
            started = monotonic()
            while monotonic() - started < 1:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_sleep(0.05)")

    def test_is_not_exceeded_by_a_transaction_that_computes(self):
        with limit_waits(0.3), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            started = monotonic()
            while monotonic() - started < 0.8:
                pass

    def test_is_longer_for_commands_that_read_the_whole_ledger(self, settings, monkeypatch):
        settings.STATEMENT_TIMEOUT_MS = 100
        monkeypatch.setattr(deadlines, "MARGIN_SECONDS", 0)

        with transaction.atomic(), long_statements(), connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("1h",)
            cursor.execute("SELECT pg_sleep(0.6)")

    def test_is_longer_for_the_rules_of_the_verification(self, settings, monkeypatch):
        settings.STATEMENT_TIMEOUT_MS = 100
        monkeypatch.setattr(deadlines, "MARGIN_SECONDS", 0)
        monkeypatch.setattr(run, "GLOBAL_RULES", ["SELECT pg_sleep(0.6) WHERE pg_sleep(0.6) IS NULL"])

        assert run.verify_global().differences == ()

    def test_is_by_default_the_statement_timeout_and_a_margin(self, settings):
        settings.STATEMENT_TIMEOUT_MS = 2_000

        assert deadlines._default_deadline() == 2 + deadlines.MARGIN_SECONDS
