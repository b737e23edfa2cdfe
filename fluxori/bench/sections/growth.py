"""What a deduction and a page of history cost in a small ledger and in a large one, side by side."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count, cycle

from credits import operations, queries
from credits.models import CreditBalance
from fluxori.bench import databases, seeding
from fluxori.bench.sections.in_process import rate
from fluxori.bench.stage import Stage
from fluxori.identity.models import User
from fluxori.kernel import clock

SECTION = "growth"
DEDUCT = "deduct_credits with {:,} transactions in the ledger"
PAGE = "first page of a history with {:,} transactions in the ledger"
_PAGE = 50


def measure(stage: Stage) -> None:
    found: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        places = {size: stack.enter_context(databases.throw_away(keep=stage.keep)) for size in stage.sizes.growth}
        asked: dict[int, dict[str, Callable[[], int]]] = {}
        for size, name in places.items():
            with databases.using(name):
                seeding.fill(size, number=3)
                there = Stage(stage.sizes, stage.figures)
                there.fill()
                if stage.keep:
                    stage.figures.note(f"growth: {name} with {size:,} transactions is kept.")
                asked[size] = {DEDUCT: _deducting(there.many), PAGE: _turning()}
        for _ in range(stage.sizes.repeats):
            for size, name in places.items():
                with databases.using(name):
                    for words, way in asked[size].items():
                        found[words.format(size)].append(rate(way, stage.sizes.seconds))
    for words, rates in found.items():
        stage.figures.add(SECTION, words, "/s", rates)


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
