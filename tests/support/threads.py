"""Helpers for contention tests: real threads, each with its own database connection."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Event
from time import monotonic, sleep
from typing import Any

from django.db import connection, transaction

from credits.models import CreditBalance
from fluxori.core.errors import DomainError
from tests.support.database import as_owner


def run_concurrently(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Start all calls at once. Return, in their order, the result of each or the code of its ``DomainError``."""
    start = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            start.wait(timeout=30)
            return call()
        except DomainError as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        return list(pool.map(run, calls))


def outcome_of(call: Callable[[], Any]) -> Any:
    """Return the result of ``call``, or the exception that it raised, and close the current thread's connection."""
    try:
        return in_other_thread(call)
    except BaseException as error:  # noqa: BLE001 - the tests check which error it was
        return error


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Return as soon as ``condition`` holds; fail after ``seconds``."""
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "The condition did not become true in time."
        sleep(0.002)


def lock_waits() -> int:
    """Return how many sessions of the test database wait for a lock."""
    return _count_sessions("wait_event_type = 'Lock'")


def sleeping_sessions() -> int:
    """Return how many sessions of the test database run ``pg_sleep``."""
    return _count_sessions("wait_event = 'PgSleep'")


def _count_sessions(where: str) -> int:
    # Other roles do not see what the sessions of the owner wait for.
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(f"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {where}")
        [number] = cursor.fetchone()
    return int(number)


@contextmanager
def hold_lock(balance: CreditBalance) -> Iterator[None]:
    """Lock the balance in an open transaction while the block runs."""
    with transaction.atomic():
        CreditBalance.objects.select_for_update(no_key=True).get(pk=balance.pk)
        yield


def in_other_thread(call: Callable[[], Any]) -> Any:
    """Run ``call`` and close the database connection of the current thread.

    Submit this to a ``ThreadPoolExecutor``: the other thread has its own connection and sees only committed rows.
    """
    try:
        return call()
    finally:
        connection.close()


@contextmanager
def locked_in_other_thread(balance: CreditBalance) -> Iterator[None]:
    """Lock the balance in another thread, in a transaction of its own, while the block runs."""
    locked, done = Event(), Event()

    def hold_until_done() -> None:
        with hold_lock(balance):
            locked.set()
            done.wait(30)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(in_other_thread, hold_until_done)
        try:
            assert locked.wait(30)
            yield
        finally:
            done.set()
