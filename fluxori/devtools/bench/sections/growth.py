"""The speed of a deduction and of a history page in a small and in a large ledger."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count, cycle

from django.db.models import Sum

from credits import operations, queries
from credits.models import CreditBalance
from fluxori.core import clock
from fluxori.devtools.bench import databases, seeding
from fluxori.devtools.bench.sections.in_process import rate
from fluxori.devtools.bench.session import BenchSession
from fluxori.identity.models import User

SECTION = "growth"
DEDUCT = "deduct_credits with {:,} transactions in the ledger"
PAGE = "first page of a history with {:,} transactions in the ledger"
_PAGE = 50


def measure(session: BenchSession) -> None:
    values: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        databases_by_size = {size: name for name in session.ledgers for size in [_size(name)]}
        if not databases_by_size:
            databases_by_size = {size: _create(size, stack) for size in session.sizes.growth}
        calls: dict[int, dict[str, Callable[[], int]]] = {}
        for size, name in databases_by_size.items():
            with databases.using(name):
                filled = BenchSession(session.sizes, session.figures)
                filled.fill()
                calls[size] = {DEDUCT: _deduction(filled.many), PAGE: _history_page()}
        for _ in range(session.sizes.repeats):
            for size, name in databases_by_size.items():
                with databases.using(name):
                    for name_format, call in calls[size].items():
                        values[name_format.format(size)].append(rate(call, session.sizes.seconds))
    for name, rates in values.items():
        session.figures.add(SECTION, name, "/s", rates)
    small, large = min(databases_by_size), max(databases_by_size)
    for label, name in (("deduct", DEDUCT), ("page of history", PAGE)):
        session.figures.ratio(
            f"{label} with {large:,} transactions ÷ with {small:,}",
            (SECTION, name.format(large)),
            (SECTION, name.format(small)),
            ("at least", 0.9),
        )


def _create(size: int, stack: ExitStack) -> str:
    name = stack.enter_context(databases.throw_away())
    with databases.using(name):
        seeding.fill(size, number=3)
    return name


def _size(name: str) -> int:
    """Return the number of transactions in a database."""
    with databases.using(name):
        size: int = CreditBalance.objects.aggregate(size=Sum("sequence"))["size"] or 0
        return size


def _deduction(users: list[User]) -> Callable[[], int]:
    keys, owners = map("growth-{}".format, count()), cycle(users)

    def deduct() -> int:
        owner = next(owners)
        operations.deduct_credits(
            owner=owner, actor=owner, feature="simple-ai-insight", idempotency_key=next(keys), at=clock.now()
        )
        return 1

    return deduct


def _history_page() -> Callable[[], int]:
    """Return a function that reads the newest page of one long history after another."""
    long = CreditBalance.objects.filter(sequence__gt=_PAGE).order_by("pk")[:100]
    owners = cycle([balance.owner for balance in long])

    def read_page() -> int:
        page = list(queries.get_transaction_history(owner=next(owners))[:_PAGE])
        assert len(page) == _PAGE
        return 1

    return read_page
