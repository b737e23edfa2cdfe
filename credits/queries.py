"""Questions to the ledger. Nothing here writes or locks; what has fallen due is settled in memory only."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from credits import errors
from credits.book import Book, Grant, Hold, Snapshot
from credits.models import CreditBalance, CreditGrant, CreditTransaction, FeaturePrice
from credits.settling import settle
from fluxori.identity.owner import Owner, OwnerLike
from fluxori.kernel import clock

_SQL = Path(__file__).parent / "sql"
_BOOKS = (_SQL / "books.sql").read_text(encoding="utf-8")
_BOOK_AT = (_SQL / "book_at.sql").read_text(encoding="utf-8")


def get_balance(*, owner: OwnerLike, at: datetime | None = None) -> Snapshot:
    """Return the owner's balance as it stands, or as a read at the past instant ``at`` would have said it.

    Whole credits. Credits that have expired by then are not in it, whether or not their expiry has been written.
    Before the balance existed every count is zero.

    :raises InvalidArgumentError: ``in_future`` if ``at`` has not come yet
    :raises BalanceNotFoundError: if nobody opened such a balance
    """
    now = clock.now()
    whose = Owner.of(owner)
    if at is None:
        return settled(whose, at=now).snapshot()
    if at > now:
        raise errors.InvalidArgumentError.field("at", "in_future", "A balance can be told up to now, not ahead.")
    return _settled(whose, _one_row(_BOOK_AT, {"balance": whose.id, "at": at}), at=at).snapshot()


def settled(owner: Owner, *, at: datetime) -> Book:
    """Return the owner's book with everything due by ``at`` settled in memory.

    :raises BalanceNotFoundError: if nobody opened such a balance
    """
    [*rows] = _rows(_BOOKS, {"balances": [owner.id], "at": at, "holds": []})
    return _settled(owner, rows[0] if rows else None, at=at)


def books(balance_ids: Iterable[UUID], *, at: datetime, hold_ids: Iterable[UUID] = ()) -> dict[UUID, Book]:
    """Return the books of these balances, not settled: live grants, holds due by ``at``, and the holds named."""
    rows = _rows(_BOOKS, {"balances": list(balance_ids), "at": at, "holds": list(hold_ids)})
    return {row[0]: _book(row, clock.now()) for row in rows}


def get_transaction_history(*, owner: OwnerLike) -> QuerySet[CreditTransaction]:
    """Return the owner's transactions, newest first; none where no balance was opened. Slice or filter it further."""
    return CreditTransaction.objects.filter(balance_id=Owner.of(owner).id).order_by("-sequence")


def get_transaction(*, transaction_id: UUID, visible: Q | None = None) -> CreditTransaction:
    """Return one transaction with its entries, their grants, its price and what reversed it.

    :raises TransactionNotFoundError: if there is none, or none within ``visible``
    """
    found = (
        CreditTransaction.objects.filter(visible or Q(), pk=transaction_id)
        .select_related("balance", "price")
        .prefetch_related("entries__grant", "reversed_by")
        .first()
    )
    if found is None:
        raise errors.TransactionNotFoundError(transaction_id=transaction_id)
    return found


def get_grants(*, owner: OwnerLike) -> QuerySet[CreditGrant]:
    """Return every grant the owner was ever given, newest first; none where no balance was opened."""
    return CreditGrant.objects.filter(balance_id=Owner.of(owner).id).order_by("-id")


def prices(features: Iterable[str], *, at: datetime) -> dict[str, FeaturePrice]:
    """Return the price in force at ``at`` for each of ``features`` that has one."""
    rows = (
        FeaturePrice.objects.filter(feature__in=set(features), effective_from__lte=at)
        .order_by("feature_id", "-effective_from")
        .distinct("feature_id")
    )
    return {row.feature_id: row for row in rows}


def existing(owner: OwnerLike) -> CreditBalance | None:
    """Return the balance row of the owner, or None where nobody opened one."""
    whose = Owner.of(owner)
    return CreditBalance.objects.filter(pk=whose.id, user=whose.user_id, organization=whose.organization_id).first()


def due_balances(*, at: datetime, after: UUID | None, limit: int) -> list[UUID]:
    """Return up to ``limit`` balances, by id from beyond ``after``, with a grant or a hold due by ``at``."""
    grants = Q(grants__live=True, grants__remaining__gt=0, grants__expires_at__lte=at)
    holds = Q(holds__status="open", holds__expires_at__lte=at)
    beyond = Q(pk__gt=after) if after else Q()
    due: set[UUID] = set()
    for kind in (grants, holds):
        # Asked one after another, so that each finds its own index.
        found = CreditBalance.objects.filter(kind, beyond).order_by("pk").values_list("pk", flat=True).distinct()
        due.update(found[:limit])
    return sorted(due)[:limit]


def _settled(owner: Owner, row: Sequence[Any] | None, *, at: datetime) -> Book:
    if row is None or (row[1] if owner.kind == "user" else row[2]) != owner.id:
        raise errors.BalanceNotFoundError()
    book = _book(row, recorded_at=at)
    # A clock that lags behind the last change must not bring expired credits back.
    settle(book, max(at, book.last_at))
    return book


def _one_row(sql: str, parameters: dict[str, Any]) -> Sequence[Any] | None:
    return next(iter(_rows(sql, parameters)), None)


def _rows(sql: str, parameters: dict[str, Any]) -> list[Sequence[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[Sequence[Any]] = cursor.fetchall()
        return rows


def _book(row: Sequence[Any], recorded_at: datetime) -> Book:
    key, user, organization, balance, held, debt, sequence, version, head_hash, last_at, suspended_at, *lists = row
    grants, holds = map(_list, lists)
    return Book(
        id=key,
        user_id=user,
        organization_id=organization,
        balance=balance,
        held=held,
        debt=debt,
        sequence=sequence,
        version=version,
        head_hash=bytes(head_hash),
        last_at=last_at,
        suspended_at=suspended_at,
        grants={grant.id: grant for grant in map(_grant, grants)},
        holds={hold.id: hold for hold in map(_hold, holds)},
        recorded_at=recorded_at,
    )


def _list(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _grant(fields: list[Any]) -> Grant:
    key, source, amount, remaining, held, priority, effective_at, expires_at, voided_at, cap, until, feature = fields
    return Grant(
        id=UUID(key),
        source=source,
        amount=amount,
        remaining=remaining,
        held=held,
        priority=priority,
        effective_at=datetime.fromisoformat(effective_at),
        expires_at=_time(expires_at),
        voided_at=_time(voided_at),
        roll_cap=cap,
        roll_until=_time(until),
        feature_id=feature,
    )


def _hold(fields: list[Any]) -> Hold:
    key, amount, created_at, expires_at, pins, feature, price, quantity, description, reference, metadata, *who = fields
    actor, member, request_id = who
    return Hold(
        id=UUID(key),
        amount=amount,
        created_at=datetime.fromisoformat(created_at),
        expires_at=datetime.fromisoformat(expires_at),
        pins=[(UUID(grant), pinned) for grant, pinned in pins],
        feature_id=feature,
        price_id=_uuid(price),
        quantity=quantity,
        description=description,
        reference_id=reference,
        metadata=metadata,
        actor_id=_uuid(actor),
        member_id=_uuid(member),
        request_id=request_id,
    )


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def _uuid(value: str | None) -> UUID | None:
    return UUID(value) if value else None
