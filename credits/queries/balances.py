"""Reads of balances: now, at a past instant, many at once, and which of them have due events.

Due events are applied in memory, so a read never depends on whether the expiry job has run. Nothing here writes or
locks.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import F, Q, QuerySet

from credits.domain import errors
from credits.domain.records import BalanceSnapshot
from credits.models import CreditBalance
from credits.queries.loading import load_past_balance, load_settled_balance, load_states
from fluxori.core import clock
from fluxori.identity.owner import Owner, OwnerLike

_CHUNK = 500


def get_balance(*, owner: OwnerLike, at: datetime | None = None) -> BalanceSnapshot:
    """Return the owner's balance now, or as a read at the past instant ``at`` would have returned it.

    Whole credits. Credits that expired by then are excluded, whether or not their expiry has been written. Before the
    balance existed every count is zero.

    :raises InvalidArgumentError: ``wrong_type``: ``at`` has no time zone; ``in_future``: ``at`` is in the future
    :raises BalanceNotFoundError: the owner has no balance
    """
    if at is not None and at.utcoffset() is None:
        raise errors.InvalidArgumentError.field("at", "wrong_type", "A timestamp with a time zone is needed.")
    now = clock.now()
    if at is None:
        return load_settled_balance(Owner.of(owner), at=now).snapshot()
    if at > now:
        raise errors.InvalidArgumentError.field("at", "in_future", "The balance is known up to now, not in the future.")
    return load_past_balance(Owner.of(owner), at=at).snapshot()


def get_balances() -> QuerySet[CreditBalance]:
    """Return the rows of all balances, without due events; :func:`get_snapshots` applies them."""
    return CreditBalance.objects.all()


def get_snapshots(balance_ids: Iterable[UUID], *, at: datetime) -> dict[UUID, BalanceSnapshot]:
    """Return the balances at ``at`` by id, all read in one statement. Ids without a balance are left out."""
    return {balance_id: state.snapshot() for balance_id, state in load_states(balance_ids, at=at).items()}


def settle_balances(balances: Sequence[CreditBalance], *, at: datetime) -> None:
    """Set the ``balance``, ``held`` and ``debt`` that the balances have at ``at``, in memory."""
    snapshots = get_snapshots([row.pk for row in balances], at=at)
    for row in balances:
        snapshot = snapshots[row.pk]
        row.balance, row.held, row.debt = snapshot.balance, snapshot.held, snapshot.debt


def filter_by_available(balances: QuerySet[CreditBalance], maximum: int, *, at: datetime) -> QuerySet[CreditBalance]:
    """Narrow ``balances`` to those with at most ``maximum`` whole credits available at ``at``.

    The stored columns answer for balances without due events. The others are loaded and settled in memory, in chunks,
    so the cost grows with what the expiry job has not written yet.
    """
    due: list[UUID] = []
    matching: list[UUID] = []
    while ids := due_balances(at=at, after=due[-1] if due else None, limit=_CHUNK):
        due += ids
        snapshots = get_snapshots(ids, at=at)
        matching += [balance_id for balance_id, snapshot in snapshots.items() if snapshot.available <= maximum]
    stored = Q(balance__lte=F("held") - F("debt") + maximum)
    return balances.filter((stored & ~Q(pk__in=due)) | Q(pk__in=matching))


def find_balance(owner: OwnerLike) -> CreditBalance | None:
    """Return the balance row of the owner, or None."""
    target = Owner.of(owner)
    return CreditBalance.objects.filter(pk=target.id, user=target.user_id, organization=target.organization_id).first()


def due_balances(*, at: datetime, after: UUID | None, limit: int) -> list[UUID]:
    """Return up to ``limit`` ids of balances with a grant or hold due by ``at``, in order, after the id ``after``."""
    grants = Q(grants__live=True, grants__remaining__gt=0, grants__expires_at__lte=at)
    holds = Q(holds__status="open", holds__expires_at__lte=at)
    after_key = Q(pk__gt=after) if after else Q()
    due: set[UUID] = set()
    for condition in (grants, holds):
        # One query a condition: each uses its own partial index, which an OR would prevent.
        rows = CreditBalance.objects.filter(condition, after_key).order_by("pk").values_list("pk", flat=True)
        due.update(rows.distinct()[:limit])
    return sorted(due)[:limit]
