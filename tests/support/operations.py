"""Checks for tests of operations: unchanged rows, invariants, replayed results, and the order of SQL statements."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from credits.domain.errors import InvalidArgumentError
from credits.models import CreditBalance
from credits.verification import verify_balance
from tests.support.database import as_owner

_FRAME = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT")


def digest() -> dict[str, str]:
    """Return one MD5 of all rows for each table of the ledger, by one statement."""
    tables = [model._meta.db_table for model in apps.get_models(include_auto_created=True)]
    parts = [
        f"SELECT '{name}', md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '')) FROM {name} AS t"
        for name in tables
        if name.startswith("credits_")
    ]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts))
        return dict(cursor.fetchall())


@contextmanager
def unchanged() -> Iterator[None]:
    """Fail if the block changes any row of the ledger."""
    before = digest()
    assert len(before) > 8
    yield
    assert digest() == before


@contextmanager
def reject_deductions_of_13() -> Iterator[None]:
    """Make PostgreSQL reject every deduction of 13 credits, with a CHECK constraint."""
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE credits_credittransaction ADD CONSTRAINT unlucky CHECK (amount <> -13)")
    try:
        yield
    finally:
        with as_owner(), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE credits_credittransaction DROP CONSTRAINT unlucky")


@contextmanager
def captured_statements() -> Iterator[list[str]]:
    """Collect the SQL statements of the block, without BEGIN, COMMIT and savepoints."""
    run: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield run
    run += [query["sql"] for query in captured if not query["sql"].startswith(_FRAME)]


def statement_kinds(statements: Iterable[str]) -> list[str]:
    """Return what each statement does: lock, load, tier facts, write, or ``read`` with the name of a table."""
    return [_statement_kind(statement) for statement in statements]


def _statement_kind(statement: str) -> str:
    if 'FROM "credits_creditbalance"' in statement and "FOR NO KEY UPDATE" in statement:
        return "lock"
    if statement.startswith("WITH ") and "UPDATE credits_creditbalance" in statement:
        return "write"
    if "FROM credits_creditbalance" in statement and "FROM credits_creditrequest" in statement:
        return "load"
    if "FROM tiers_subscription " in statement.replace('"', ""):
        return "tier facts"
    table = re.match(r'SELECT .* FROM "(\w+)"', statement)
    return f"read {table[1]}" if table else statement


def field_errors(caught: pytest.ExceptionInfo[InvalidArgumentError]) -> list[tuple[str, str]]:
    """Return (field, code) of each error of invalid arguments."""
    return [(error.field, error.code) for error in caught.value.errors]


def check_replay(first: Any, repeated: Any) -> None:
    """Check that a repeated request returned the result of the first one; only ``replayed`` differs."""
    assert not first.replayed
    assert repeated == replace(first, replayed=True)


def check_balance(balance: CreditBalance) -> None:
    """Check the sums of one balance, and that the verification rules report no difference."""
    check_sums(balance)
    assert verify_balance(balance.pk).differences == ()


def check_sums(balance: CreditBalance) -> None:
    """Check every invariant that is a sum over the stored rows of one balance."""
    balance.refresh_from_db()
    moves = list(balance.transactions.order_by("sequence").prefetch_related("entries"))
    grants = list(balance.grants.all())
    entries = [part for move in moves for part in move.entries.all()]
    assert balance.balance == sum(move.amount for move in moves)
    assert balance.balance == sum(grant.remaining for grant in grants) + balance.held - balance.debt
    assert balance.held == sum(grant.held for grant in grants)
    assert balance.held == (balance.pins.filter(hold__status="open").aggregate(total=Sum("amount"))["total"] or 0)
    assert balance.debt == -sum(part.amount for part in entries if part.grant_id is None)
    for grant in grants:
        assert sum(part.amount for part in entries if part.grant_id == grant.pk) == grant.remaining + grant.held
    assert [move.sequence for move in moves] == list(range(1, balance.sequence + 1))
    for earlier, later in pairwise(moves):
        assert bytes(later.previous_hash) == bytes(earlier.hash)
        assert later.timestamp >= earlier.timestamp
        assert later.balance_after == earlier.balance_after + later.amount
    for move in moves:
        assert move.amount == sum(part.amount for part in move.entries.all())
