"""Whether the ledger is what it says it is: every invariant, and the hash chain, as rules over ranges of balances.

A rule is SQL in ``rules``; each returns the exact rows that break it, and nothing where all is well. Nothing here
writes or locks, and each range is read from one snapshot, so a system at work gives no false alarm. Whoever builds on
the ledger hands in rules of its own, ``also`` to be tried in the same snapshot.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from credits.models import CreditBalance

_SQL = Path(__file__).parent / "rules"

RULES = tuple(path.read_text(encoding="utf-8") for path in sorted(_SQL.glob("*.sql")))
# Rules that no range of balances can show.
WHOLE_RULES = tuple(path.read_text(encoding="utf-8") for path in sorted((_SQL / "whole").glob("*.sql")))
_FIRST = UUID(int=0)
_LAST = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that is not as it must be: which rule it breaks, and how, in words. A sum over all has no balance."""

    rule: str
    balance_id: UUID | None
    kind: str
    row_id: UUID
    words: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What was read in one range of balances, and what is wrong in it."""

    balances: int
    transactions: int
    differences: tuple[Difference, ...]


def verify_balance(balance_id: UUID, *, also: Sequence[str] = ()) -> Findings:
    """Return what one balance shows."""
    return verify_range(balance_id, balance_id, also=also)


def verify_all(*, chunk: int, also: Sequence[str] = ()) -> Iterator[Findings]:
    """Return what each range of about ``chunk`` balances shows, in order of id, and what all of them together show.

    Rows whose balance is gone are read, too.
    """
    first = _FIRST
    while (last := _end_of_range(first, chunk)) is not None:
        yield verify_range(first, last, also=also)
        first = UUID(int=last.int + 1)
    yield verify_range(first, _LAST, also=also)
    yield verify_whole()


def verify_whole() -> Findings:
    """Return what only the whole ledger shows, in one snapshot: whether the totals are the sums of the roll-ups."""
    with _snapshot():
        found = [Difference(*row) for rule in WHOLE_RULES for row in _rows(rule, {})]
    return Findings(0, 0, tuple(found))


def verify_range(first: UUID, last: UUID, *, also: Sequence[str] = ()) -> Findings:
    """Return what the balances from ``first`` to ``last``, both included, show in one snapshot.

    Inside a caller's own transaction it sees what that transaction sees.
    """
    found = []
    span = {"first": first, "last": last}
    with _snapshot():
        for rule in (*RULES, *also):
            found += [Difference(*row) for row in _rows(rule, span)]
        [(balances, transactions)] = _rows(_COUNTS, span)
    return Findings(balances, transactions, tuple(sorted(found, key=lambda d: (str(d.balance_id), d.rule, d.row_id))))


_COUNTS = """
SELECT (SELECT count(*) FROM credits_creditbalance WHERE id BETWEEN %(first)s AND %(last)s),
       (SELECT count(*) FROM credits_credittransaction WHERE balance_id BETWEEN %(first)s AND %(last)s)
"""
_LOOK_ONLY = """
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SET LOCAL statement_timeout = 0;
SET LOCAL jit = off;
SET LOCAL work_mem = '64MB';
"""


@contextmanager
def _snapshot() -> Iterator[None]:
    joins = connection.in_atomic_block
    with transaction.atomic():
        if not joins:
            with connection.cursor() as cursor:
                cursor.execute(_LOOK_ONLY)
        yield


def _end_of_range(first: UUID, chunk: int) -> UUID | None:
    ids = CreditBalance.objects.filter(pk__gte=first).order_by("pk").values_list("pk", flat=True)
    return next(iter(ids[chunk - 1 : chunk]), None)


def _rows(sql: str, parameters: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[Any] = cursor.fetchall()
        return rows
