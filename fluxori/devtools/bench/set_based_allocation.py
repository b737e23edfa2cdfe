"""The monthly allocation as set-based SQL, one statement per chunk: the cost of the rows and hashes in PostgreSQL.

Unlike ``allocate_monthly_credits``, which is compared with it, it validates nothing, applies no due events, repays no
debt and ignores proration.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, models, transaction

from credits.models import CreditBalance, CreditEntry, CreditGrant, CreditTransaction
from fluxori.db.deadlines import long_statements
from tiers.domain.periods import period_start
from tiers.models import MonthlyAllocation, Subscription, Tier

# The default chunk size of allocate_monthly_credits.
CHUNK = 1000

_SUBSCRIBE = """
WITH people AS (
    INSERT INTO identity_user (id, password, is_superuser, email, role, is_staff, is_active, created_at,
                               session_generation)
    SELECT bench_id(), '!', false, %(name)s || '-' || n || '@bench.fluxori.example', 'user', false, true, %(anchor)s, 0
      FROM generate_series(1, %(many)s) AS n
    RETURNING id
), balances AS (
    INSERT INTO credits_creditbalance SELECT {balance} FROM people
    RETURNING id
)
INSERT INTO tiers_subscription SELECT {subscription} FROM balances
"""

_LAST_OF_CHUNK = """
SELECT balance_id FROM (
    SELECT balance_id FROM tiers_subscription
     WHERE balance_id > %(after)s AND status = 'active' AND next_allocation_at <= %(at)s
     ORDER BY balance_id LIMIT %(chunk)s) AS chunk
 ORDER BY balance_id DESC LIMIT 1
"""

_ALLOCATE = """
WITH due AS MATERIALIZED (
    SELECT b.id AS balance_id, b.balance, b.sequence, b.head_hash, greatest(%(at)s, b.last_at) AS at, s.next_period,
           s.next_allocation_at AS begins, s.anchor + make_interval(months => s.next_period + 1) AS ends,
           t.code, t.name, t.monthly_credits AS credits,
           bench_id() AS transaction_id, bench_id() AS grant_id, bench_id() AS entry_id
      FROM tiers_subscription s
      JOIN credits_creditbalance b ON b.id = s.balance_id
      JOIN tiers_tier t ON t.code = s.tier_id
     WHERE s.balance_id > %(after)s AND s.balance_id <= %(last)s AND s.status = 'active'
       AND s.next_allocation_at <= %(at)s
     ORDER BY b.id
       FOR NO KEY UPDATE OF b
), hashed AS MATERIALIZED (
    SELECT d.*, credits_hash_transaction_row(
               {transaction},
               credits_hash_field('1'::text) || credits_hash_entry({entry}),
               credits_hash_field('1'::text) || credits_hash_grant({grant})) AS hash
      FROM due d
), transactions AS (
    INSERT INTO credits_credittransaction SELECT {transaction_values} FROM hashed d
), grants AS (
    INSERT INTO credits_creditgrant SELECT {grant_values} FROM due d
), entries AS (
    INSERT INTO credits_creditentry SELECT {entry_values} FROM due d
), allocations AS (
    INSERT INTO tiers_monthlyallocation SELECT {allocation_values} FROM due d
), subscriptions AS (
    UPDATE tiers_subscription s
       SET next_period = d.next_period + 1, next_allocation_at = d.ends
      FROM due d WHERE s.balance_id = d.balance_id
)
UPDATE credits_creditbalance b
   SET balance = d.balance + d.credits, sequence = d.sequence + 1, version = b.version + 1, head_hash = d.hash,
       last_at = d.at
  FROM hashed d WHERE b.id = d.balance_id
"""

# SQL expressions for the columns that are neither empty nor NULL.
_BALANCE = {
    "id": "id",
    "user_id": "id",
    "balance": "0",
    "held": "0",
    "debt": "0",
    "sequence": "0",
    "version": "0",
    "head_hash": "decode(repeat('00', 32), 'hex')",
    "last_at": "%(anchor)s",
    "created_at": "%(anchor)s",
}
_SUBSCRIPTION = {
    "balance_id": "id",
    "tier_id": "%(tier)s",
    "anchor": "%(anchor)s",
    "status": "'active'",
    "first_period": "0",
    "next_period": "1",
    "next_allocation_at": "%(next)s",
    "changes": "0",
    "initial_credits": "0",
    "overlap_credits": "0",
    "created_at": "%(anchor)s",
}
_TRANSACTION = {
    "id": "d.transaction_id",
    "balance_id": "d.balance_id",
    "sequence": "d.sequence + 1",
    "type": "'allocation'",
    "amount": "d.credits",
    "balance_after": "d.balance + d.credits",
    "timestamp": "d.at",
    "recorded_at": "d.at",
    "description": "d.name || ': ' || to_char(d.begins, 'FMDD FMMonth YYYY') || ' to '"
    " || to_char(d.ends, 'FMDD FMMonth YYYY')",
    "previous_hash": "d.head_hash",
    "hash_version": "1",
}
_ENTRY = {
    "id": "d.entry_id",
    "balance_id": "d.balance_id",
    "transaction_id": "d.transaction_id",
    "grant_id": "d.grant_id",
    "position": "0",
    "amount": "d.credits",
    "remaining_after": "d.credits",
}
_GRANT = {
    "id": "d.grant_id",
    "balance_id": "d.balance_id",
    "transaction_id": "d.transaction_id",
    "source": "'allocation'",
    "amount": "d.credits",
    "remaining": "d.credits",
    "held": "0",
    "live": "true",
    "priority": "50",
    "effective_at": "d.at",
    "expires_at": "d.ends",
}
_ALLOCATION = {
    "id": "bench_id()",
    "balance_id": "d.balance_id",
    "period": "d.next_period",
    "tier_id": "d.code",
    "credits": "d.credits",
    "transaction_id": "d.transaction_id",
    "starts_at": "d.begins",
    "ends_at": "d.ends",
    "allocated_at": "d.at",
}


def subscribe(many: int, *, name: str, tier: Tier, anchor: datetime) -> None:
    """Create ``many`` balances with subscriptions since ``anchor``. Their owners' addresses begin with ``name``."""
    parameters: dict[str, Any] = {
        "many": many,
        "name": name,
        "tier": tier.pk,
        "anchor": anchor,
        "next": period_start(anchor, 1),
    }
    sql = _SUBSCRIBE.format(balance=_values(CreditBalance, _BALANCE), subscription=_values(Subscription, _SUBSCRIPTION))
    with transaction.atomic(), long_statements(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        cursor.execute("ANALYZE identity_user, credits_creditbalance, tiers_subscription")


def allocate(*, at: datetime) -> None:
    """Allocate one month to every subscription that is due, one chunk per commit."""
    sql = _ALLOCATE.format(
        transaction=_row(CreditTransaction, _TRANSACTION),
        entry=_row(CreditEntry, _ENTRY),
        grant=_row(CreditGrant, _GRANT),
        transaction_values=_values(CreditTransaction, {**_TRANSACTION, "hash": "d.hash"}),
        entry_values=_values(CreditEntry, _ENTRY),
        grant_values=_values(CreditGrant, _GRANT),
        allocation_values=_values(MonthlyAllocation, _ALLOCATION),
    )
    after = UUID(int=0)
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_LAST_OF_CHUNK, {"after": after, "at": at, "chunk": CHUNK})
            row = cursor.fetchone()
            if row is None:
                return
            cursor.execute(sql, {"after": after, "at": at, "last": row[0]})
            after = row[0]


def _row(model: type[models.Model], known: dict[str, str]) -> str:
    return f"ROW({_values(model, known)})::{model._meta.db_table}"  # noqa: SLF001 (documented by Django)


def _values(model: type[models.Model], known: dict[str, str]) -> str:
    """Return an expression for every column, in the order of the table. Other columns are empty or NULL."""
    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(cursor, model._meta.db_table)  # noqa: SLF001
    fields: dict[str, Any] = {str(field.column): field for field in model._meta.concrete_fields}  # noqa: SLF001
    return ", ".join(
        f"{known.get(column.name) or _empty(fields[column.name])}::{fields[column.name].db_type(connection)}"
        for column in described
    )


def _empty(field: Any) -> str:
    return "NULL" if field.null else _EMPTY[type(field)]


_EMPTY: dict[type[Any], str] = {models.CharField: "''", models.TextField: "''", models.BinaryField: "''"}
