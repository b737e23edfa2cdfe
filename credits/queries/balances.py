"""Reads of balances: now, at a past instant, many at once, and which of them have due events.

Due events are applied in memory, so a read never depends on whether the expiry job has run. Nothing here writes or
locks.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Q, QuerySet

from credits import tier_registry
from credits.arguments import resolve_timestamp
from credits.domain import constants, errors
from credits.domain.balance_state import BalanceState
from credits.domain.due_events import apply_due_events
from credits.domain.forecasting import Arrival
from credits.domain.records import BalanceSnapshot, Grant, TransactionDetails
from credits.models import CreditBalance
from credits.queries.loading import (
    FIRST_GRANTS,
    load_balances,
    load_past_balance,
    load_settled_balance,
    load_states,
    require_state,
)
from fluxori.core import clock
from fluxori.core.ids import uuid7
from fluxori.identity.owner import Owner, OwnerLike

_CHUNK = 500
_MAX_AHEAD = timedelta(days=10 * 366)


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
        return load_settled_balance(Owner.of(owner), at=now, grant_limit=FIRST_GRANTS).snapshot()
    if at > now:
        raise errors.InvalidArgumentError.field("at", "in_future", "The balance is known up to now, not in the future.")
    return load_past_balance(Owner.of(owner), at=at).snapshot()


def account_names(balance_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return for each balance that exists the e-mail of its user or the name of its organization."""
    balances = CreditBalance.objects.select_related("user", "organization").in_bulk(list(balance_ids))
    return {key: str(balance.user or balance.organization) for key, balance in balances.items()}


def preview_balance(*, owner: OwnerLike, at: datetime, with_allocations: bool = False) -> BalanceSnapshot:
    """Return what the owner's balance will be at the future instant ``at`` if no credits are used or added until then.

    What is due by then is applied: holds lapse, credits expire and roll over. With ``with_allocations`` the monthly
    allocations of the subscription arrive, each at the start of its period, one that is overdue now; a scheduled change
    of tier takes effect. ``sequence`` counts the transactions that this would record. Nothing is written.

    :raises InvalidArgumentError: ``wrong_type``: ``at`` has no time zone; ``in_past``: ``at`` is before now;
        ``out_of_range``: with allocations, ``at`` is more than ten years ahead
    :raises BalanceNotFoundError: the owner has no balance
    """
    now, target = clock.now(), Owner.of(owner)
    at = resolve_timestamp(at, may_be_ahead=True)
    if at < now:
        raise errors.InvalidArgumentError.field("at", "in_past", "A preview is of a future instant.")
    if with_allocations and at - now > _MAX_AHEAD:
        raise errors.InvalidArgumentError.field("at", "out_of_range", "Allocations are known for ten years.")
    loaded = next(iter(load_balances([target.id], at=at)), None)
    state = require_state(target, loaded.state if loaded else None)
    apply_due_events(state, max(now, state.last_at))
    if with_allocations:
        # An allocation at the instant itself has arrived.
        until = at + timedelta(microseconds=1)
        for arrival in tier_registry.upcoming_allocations(target, at=now, until=until):
            _let_arrive(state, arrival)
    apply_due_events(state, max(at, state.last_at))
    return state.snapshot()


def _let_arrive(state: BalanceState, arrival: Arrival) -> None:
    at = max(arrival.at, state.last_at)
    apply_due_events(state, at)
    if not arrival.amount or (arrival.expires_at is not None and arrival.expires_at <= at):
        return
    grant = Grant(
        id=uuid7(),
        source="allocation",
        amount=arrival.amount,
        remaining=0,
        held=0,
        priority=constants.DEFAULT_PRIORITY,
        effective_at=at,
        expires_at=arrival.expires_at,
        roll_cap=arrival.roll_cap,
        roll_until=arrival.roll_until,
    )
    state.open_grant(grant, at, TransactionDetails())


def get_balances() -> QuerySet[CreditBalance]:
    """Return the rows of all balances, without due events; :func:`get_snapshots` applies them."""
    return CreditBalance.objects.all()


def get_snapshots(balance_ids: Iterable[UUID], *, at: datetime | None = None) -> dict[UUID, BalanceSnapshot]:
    """Return the balances at ``at`` by id, all read in one statement. Ids without a balance are left out.

    :raises InvalidArgumentError: ``at`` has no time zone, or is more than five minutes ahead of the clock
    """
    at = resolve_timestamp(at)
    states = load_states(balance_ids, at=at, grant_limit=FIRST_GRANTS)
    return {balance_id: state.snapshot() for balance_id, state in states.items()}


def settle_balances(balances: Sequence[CreditBalance], *, at: datetime) -> None:
    """Set the ``balance``, ``held`` and ``debt`` that the balances have at ``at``, in memory."""
    snapshots = get_snapshots([row.pk for row in balances], at=at)
    for row in balances:
        snapshot = snapshots[row.pk]
        row.balance, row.held, row.debt = snapshot.balance, snapshot.held, snapshot.debt


def filter_by_available(
    balances: QuerySet[CreditBalance], maximum: int, *, at: datetime | None = None
) -> QuerySet[CreditBalance]:
    """Narrow ``balances`` to those with at most ``maximum`` whole credits available at ``at``.

    The stored columns answer for balances without due events. The others are loaded and settled in memory, in chunks,
    so the cost grows with what the expiry job has not written yet.

    :raises InvalidArgumentError: ``at`` has no time zone, or is more than five minutes ahead of the clock
    """
    at = resolve_timestamp(at)
    due: list[UUID] = []
    matching: list[UUID] = []
    while ids := due_balances(at=at, after=due[-1] if due else None, limit=_CHUNK):
        due += ids
        snapshots = get_snapshots(ids, at=at)
        matching += [balance_id for balance_id, snapshot in snapshots.items() if snapshot.available <= maximum]
    stored = Q(balance__lte=F("held") - F("debt") + maximum)
    return balances.filter((stored & ~Q(pk__in=due)) | Q(pk__in=matching))


def balances_in_debt(balances: QuerySet[CreditBalance], *, at: datetime) -> QuerySet[CreditBalance]:
    """Narrow ``balances`` to those in debt at ``at``.

    Time alone makes no debt, but it can repay it: the credits of a hold that lapses repay debt first. So those that are
    stored as in debt and have due events are loaded and settled in memory.

    :raises InvalidArgumentError: ``at`` has no time zone, or is more than five minutes ahead of the clock
    """
    at = resolve_timestamp(at)
    stored = CreditBalance.objects.filter(debt__gt=0)
    grants = Q(grants__live=True, grants__remaining__gt=0, grants__expires_at__lte=at)
    holds = Q(holds__status="open", holds__expires_at__lte=at)
    due = {key for condition in (grants, holds) for key in stored.filter(condition).values_list("pk", flat=True)}
    repaid = [key for key, snapshot in get_snapshots(due, at=at).items() if snapshot.debt == 0]
    return balances.filter(debt__gt=0).exclude(pk__in=repaid)


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
