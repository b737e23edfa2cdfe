"""Read the stored rows of one balance as records of the model, and detect whether any row has changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from psycopg import Cursor

from credits.verification import RULES
from tests.model import balance as model

TABLES = ("transaction", "entry", "grant", "hold", "pin", "request")
_DIGEST = " || ".join(
    f"(SELECT count(*) || md5(coalesce(string_agg(t::text, '|' ORDER BY t.id), ''))"
    f"   FROM {table} t WHERE t.{column} = %(id)s)"
    for table, column in [
        ("credits_creditbalance", "id"),
        ("credits_spendinglimit", "balance_id"),
        *((f"credits_credit{name}", "balance_id") for name in TABLES),
    ]
)
_BALANCE = """
SELECT balance, held, debt, sequence, version, last_at, suspended_at FROM credits_creditbalance WHERE id = %(id)s
"""
_TRANSACTIONS = """
SELECT t.id, t.sequence, t.type, t.amount, t.balance_after, t.timestamp, t.hold_id, t.reverses_id, t.member_id,
       t.feature_id, t.quantity, t.actor_id, t.idempotency_key, g.id,
       (SELECT array_agg(ROW(e.grant_id::text, e.amount, e.remaining_after)::text ORDER BY e.position)
          FROM credits_creditentry e WHERE e.balance_id = t.balance_id AND e.transaction_id = t.id)
  FROM credits_credittransaction t
  LEFT JOIN credits_creditgrant g ON g.balance_id = t.balance_id AND g.transaction_id = t.id
 WHERE t.balance_id = %(id)s AND t.sequence > %(known)s
 ORDER BY t.sequence
"""
_GRANT_FACTS = ("source", "amount", "priority", "effective_at", "expires_at", "roll_cap", "roll_until")
_GRANTS = f"""
SELECT id, {", ".join(_GRANT_FACTS)}, parent_id, remaining, held, voided_at
  FROM credits_creditgrant WHERE balance_id = %(id)s
"""
_HOLDS = """
SELECT h.id, h.amount, h.created_at, h.expires_at, h.member_id, h.feature_id, h.quantity, h.status, h.captured,
       h.closed_at, (SELECT array_agg(ROW(p.grant_id::text, p.amount)::text ORDER BY p.position)
                       FROM credits_creditpin p WHERE p.balance_id = h.balance_id AND p.hold_id = h.id)
  FROM credits_credithold h WHERE h.balance_id = %(id)s ORDER BY h.id
"""
_LIMITS = """
SELECT id, member_id, period, amount, removed_at FROM credits_spendinglimit WHERE balance_id = %(id)s ORDER BY id
"""
_REQUESTS = "SELECT caller_id, key FROM credits_creditrequest WHERE balance_id = %(id)s"
_VERIFY = " UNION ALL ".join(f"SELECT * FROM ({rule}) AS rule_{n}" for n, rule in enumerate(RULES))


@dataclass
class Stored:
    """The stored rows at one time. ``ids`` maps the kind of a row and its number in the model to its id."""

    digest: str = ""
    counts: tuple[Any, ...] = ()
    transactions: list[model.Transaction] = field(default_factory=list)
    grants: list[model.Grant] = field(default_factory=list)
    free: dict[int, int] = field(default_factory=dict)
    pinned: dict[int, int] = field(default_factory=dict)
    voided: dict[int, datetime] = field(default_factory=dict)
    holds: list[model.Hold] = field(default_factory=list)
    limits: list[model.Limit] = field(default_factory=list)
    requests: set[tuple[int | None, str]] = field(default_factory=set)
    ids: dict[str, dict[int, UUID]] = field(
        default_factory=lambda: {"grant": {}, "hold": {}, "transaction": {}, "limit": {}}
    )


def digest(balance_id: UUID) -> str:
    """Return a fingerprint of every row of the balance, in every table."""
    [[found]] = _rows(f"SELECT {_DIGEST}", id=balance_id)
    return str(found)


def differences(balance_id: UUID) -> list[Any]:
    """Return the rows that break a rule of ``verify_ledger``, with all rules in one prepared statement."""
    return _rows(_VERIFY, first=balance_id, last=balance_id)


def read(balance_id: UUID, before: Stored, people: Mapping[int, UUID]) -> Stored:
    """Read the rows again. Of transactions, which are immutable, only those that ``before`` does not have are read."""
    numbers = {person: number for number, person in people.items()}
    ids = {kind: dict(numbered) for kind, numbered in before.ids.items()}
    found = Stored(digest(balance_id), transactions=list(before.transactions), ids=ids)
    found.counts = next(iter(_rows(_BALANCE, id=balance_id)), ())
    new = _rows(_TRANSACTIONS, id=balance_id, known=len(before.transactions))
    for row in new:
        ids["transaction"][row[1]] = row[0]
        if row[13] is not None:
            ids["grant"][len(ids["grant"]) + 1] = row[13]
    holds = _rows(_HOLDS, id=balance_id)
    ids["hold"] = {number: row[0] for number, row in enumerate(holds, 1)}
    limits = _rows(_LIMITS, id=balance_id)
    ids["limit"] = {number: row[0] for number, row in enumerate(limits, 1)}
    named = {row: number for numbered in ids.values() for number, row in numbered.items()}
    found.transactions += [_transaction(row, named, numbers) for row in new]
    for key, *facts, parent, remaining, held, voided_at in _rows(_GRANTS, id=balance_id):
        number = named[key]
        named_facts = dict(zip(_GRANT_FACTS, facts, strict=True))
        found.grants.append(model.Grant(number=number, parent=named.get(parent), **named_facts))
        found.free[number], found.pinned[number] = remaining, held
        if voided_at is not None:
            found.voided[number] = voided_at
    found.grants.sort(key=lambda grant: grant.number)
    found.holds = [_hold(row, named, numbers) for row in holds]
    found.limits = [model.Limit(named[key], numbers.get(member), *facts) for key, member, *facts in limits]
    found.requests = {(numbers.get(caller), key) for caller, key in _rows(_REQUESTS, id=balance_id)}
    return found


def _transaction(row: Any, named: Mapping[UUID, int], numbers: Mapping[UUID, int]) -> model.Transaction:
    _, number, kind, amount, after, at, hold, reverses, member, feature, quantity, caller, key, _, entries = row
    return model.Transaction(
        number=number,
        type=kind,
        amount=amount,
        balance_after=after,
        at=at,
        entries=tuple(
            model.Entry(named[UUID(grant)] if grant else None, int(share), int(left) if left else None)
            for grant, share, left in map(_parts, entries)
        ),
        hold=named.get(hold),
        reverses=named.get(reverses),
        member=numbers.get(member),
        priced=(feature, quantity) if feature else None,
        caller=numbers.get(caller),
        key=key,
    )


def _hold(row: Any, named: Mapping[UUID, int], numbers: Mapping[UUID, int]) -> model.Hold:
    key, amount, created_at, expires_at, member, feature, quantity, status, captured, closed_at, pinned = row
    pins = tuple(named[UUID(grant)] for grant, credits in map(_parts, pinned) for _ in range(int(credits)))
    assert len(pins) == amount
    return model.Hold(
        number=named[key],
        pins=pins,
        created_at=created_at,
        expires_at=expires_at,
        member=numbers.get(member),
        priced=(feature, quantity) if feature else None,
        status=status,
        captured=captured,
        closed_at=closed_at,
    )


def _parts(record: str) -> list[str]:
    return record.strip("()").split(",")


def _rows(sql: str, **parameters: Any) -> list[Any]:
    # A prepared statement, because planning would take most of the time of a step.
    connection.ensure_connection()
    with Cursor(connection.connection) as cursor:
        return cursor.execute(sql, parameters, prepare=True).fetchall()
