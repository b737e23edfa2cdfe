"""Acts side by side, each with a connection of its own."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Event
from typing import Any

from django.db import connection, transaction

from credits.models import CreditBalance
from fluxori.core.errors import DomainError


def run_concurrently(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """Start the acts together, and return in their order what each gave, or the code it was refused with."""
    start = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            start.wait(timeout=30)
            return act()
        except DomainError as refusal:
            return refusal.code
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=len(acts)) as pool:
        return list(pool.map(run, acts))


@contextmanager
def hold_lock(balance: CreditBalance) -> Iterator[None]:
    """Keep the balance locked, as a transaction that has not come to its end does."""
    with transaction.atomic():
        CreditBalance.objects.select_for_update(no_key=True).get(pk=balance.pk)
        yield


def in_other_thread(act: Callable[[], Any]) -> Any:
    """Run ``act`` on a connection of its own, which sees only what is committed."""
    try:
        return act()
    finally:
        connection.close()


@contextmanager
def locked_in_other_thread(balance: CreditBalance) -> Iterator[None]:
    """Keep the balance locked by somebody else while the block runs."""
    taken, done = Event(), Event()

    def keep() -> None:
        with hold_lock(balance):
            taken.set()
            done.wait(30)

    with ThreadPoolExecutor(1) as another:
        another.submit(in_other_thread, keep)
        try:
            assert taken.wait(30)
            yield
        finally:
            done.set()
