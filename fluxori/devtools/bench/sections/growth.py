"""What a deduction and a page of history cost in a small ledger and in a large one, side by side."""

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
from fluxori.devtools.bench.session import Stage
from fluxori.identity.models import User

SECTION = "growth"
DEDUCT = "deduct_credits with {:,} transactions in the ledger"
PAGE = "first page of a history with {:,} transactions in the ledger"
_PAGE = 50


def measure(stage: Stage) -> None:
    found: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        places = {size: name for name in stage.ledgers for size in [_size(name)]}
        if not places:
            places = {size: _filled(size, stack) for size in stage.sizes.growth}
        asked: dict[int, dict[str, Callable[[], int]]] = {}
        for size, name in places.items():
            with databases.using(name):
                there = Stage(stage.sizes, stage.figures)
                there.fill()
                asked[size] = {DEDUCT: _deducting(there.many), PAGE: _turning()}
        for _ in range(stage.sizes.repeats):
            for size, name in places.items():
                with databases.using(name):
                    for words, way in asked[size].items():
                        found[words.format(size)].append(rate(way, stage.sizes.seconds))
    for words, rates in found.items():
        stage.figures.add(SECTION, words, "/s", rates)
    small, large = min(places), max(places)
    for words, name in (("deduct", DEDUCT), ("page of history", PAGE)):
        stage.figures.ratio(
            f"{words} with {large:,} transactions ÷ with {small:,}",
            (SECTION, name.format(large)),
            (SECTION, name.format(small)),
            ("at least", 0.9),
        )


def _filled(size: int, stack: ExitStack) -> str:
    name = stack.enter_context(databases.throw_away())
    with databases.using(name):
        seeding.fill(size, number=3)
    return name


def _size(name: str) -> int:
    """Return how many transactions there are in a ledger that was filled before."""
    with databases.using(name):
        size: int = CreditBalance.objects.aggregate(size=Sum("sequence"))["size"] or 0
        return size


def _deducting(people: list[User]) -> Callable[[], int]:
    keys, around = map("growth-{}".format, count()), cycle(people)

    def deduct() -> int:
        owner = next(around)
        operations.deduct_credits(
            owner=owner, actor=owner, feature="simple-ai-insight", idempotency_key=next(keys), at=clock.now()
        )
        return 1

    return deduct


def _turning() -> Callable[[], int]:
    """Return what reads the newest page of one history after another, of those that fill one."""
    long = CreditBalance.objects.filter(sequence__gt=_PAGE).order_by("pk")[:100]
    around = cycle([balance.owner for balance in long])

    def turn() -> int:
        page = list(queries.get_transaction_history(owner=next(around))[:_PAGE])
        assert len(page) == _PAGE
        return 1

    return turn
