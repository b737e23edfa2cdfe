"""Run the verification rules over ranges of balances, each range in one snapshot.

A rule is a SQL query in ``rules/`` that returns the rows that break it, and no rows otherwise. Nothing here writes or
locks, and a concurrent operation causes no false report, because each range is read in one REPEATABLE READ transaction.
The rules of tiers come from ``credits.tier_registry`` and run in the same snapshot.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from credits import tier_registry
from credits.models import CreditBalance
from fluxori.db.chunked_work import ChunkSize
from fluxori.db.deadlines import long_statements

_SQL = Path(__file__).parent / "rules"

RULES = tuple(path.read_text(encoding="utf-8") for path in sorted(_SQL.glob("*.sql")))
# Rules about sums over all balances; they take no range.
GLOBAL_RULES = tuple(path.read_text(encoding="utf-8") for path in sorted((_SQL / "global").glob("*.sql")))
_FIRST = UUID(int=0)
_LAST = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that breaks a rule, with the details as text. A difference of a global rule has no balance."""

    rule: str
    balance_id: UUID | None
    kind: str
    row_id: UUID
    details: str


@dataclass(frozen=True, slots=True)
class Findings:
    """The number of balances and transactions in one range, and the differences in it."""

    balances: int
    transactions: int
    differences: tuple[Difference, ...]


def verify_balance(balance_id: UUID) -> Findings:
    """Verify one balance."""
    return verify_range(balance_id, balance_id)


def verify_all(*, chunk: int, jobs: int = 1) -> Iterator[Findings]:
    """Verify all balances in ranges of at most ``chunk`` balances, in order of id, and then the global rules.

    The ranges cover all ids, so rows of a balance that does not exist are verified too. ``jobs`` ranges are verified at
    a time, each by a thread with its own connection: the work is done by PostgreSQL. Inside a transaction of the
    caller, which no other connection can see, there is one job. With one job a range is smaller if it would take longer
    than about a second.
    """
    if jobs == 1 or connection.in_atomic_block:
        size = ChunkSize(chunk)
        for first, last in _ranges(size):
            with size.measured(size.current):
                findings = verify_range(first, last)
            yield findings
    else:
        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(_verify_with_own_connection, _ranges(ChunkSize(chunk, first=chunk)))
    yield verify_global()


def _ranges(size: ChunkSize) -> Iterator[tuple[UUID, UUID]]:
    first = _FIRST
    while (last := _end_of_range(first, size.current)) is not None:
        yield first, last
        first = UUID(int=last.int + 1)
    yield first, _LAST


def _verify_with_own_connection(bounds: tuple[UUID, UUID]) -> Findings:
    try:
        return verify_range(*bounds)
    finally:
        connection.close()


def verify_global() -> Findings:
    """Verify the global rules in one snapshot: the totals equal the sums of the roll-ups."""
    with _snapshot():
        differences = [Difference(*row) for rule in GLOBAL_RULES for row in fetch_rows(rule, {})]
    return Findings(0, 0, tuple(differences))


def verify_range(first: UUID, last: UUID) -> Findings:
    """Verify the balances with ids from ``first`` to ``last``, both included, in one snapshot.

    Inside a caller's own transaction, the rules run in that transaction instead of a snapshot.
    """
    differences = []
    bounds = {"first": first, "last": last}
    with _snapshot():
        for rule in (*RULES, *tier_registry.verification_rules()):
            differences += [Difference(*row) for row in fetch_rows(rule, bounds)]
        [(balances, transactions)] = fetch_rows(_COUNTS, bounds)
    differences.sort(key=lambda each: (str(each.balance_id), each.rule, each.row_id))
    return Findings(balances, transactions, tuple(differences))


_COUNTS = """
SELECT (SELECT count(*) FROM credits_creditbalance WHERE id BETWEEN %(first)s AND %(last)s),
       (SELECT count(*) FROM credits_credittransaction WHERE balance_id BETWEEN %(first)s AND %(last)s)
"""
_SNAPSHOT_SETTINGS = """
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SET LOCAL jit = off;
SET LOCAL work_mem = '64MB';
"""


@contextmanager
def _snapshot() -> Iterator[None]:
    if connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_SNAPSHOT_SETTINGS)
        with long_statements():
            yield


def _end_of_range(first: UUID, chunk: int) -> UUID | None:
    ids = CreditBalance.objects.filter(pk__gte=first).order_by("pk").values_list("pk", flat=True)
    return next(iter(ids[chunk - 1 : chunk]), None)


def fetch_rows(sql: str, parameters: dict[str, Any]) -> list[Any]:
    """Return the rows of a query, in the current transaction."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[Any] = cursor.fetchall()
        return rows
