"""Monthly allocations: which subscriptions are due, which periods are recorded, and which allocations lie ahead."""

from collections.abc import Collection
from datetime import datetime
from itertools import takewhile
from typing import NamedTuple
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Coalesce

from fluxori.db import statements
from fluxori.identity import queries as identity
from fluxori.identity.owner import Owner, OwnerLike
from tiers.domain.entitlement import PeriodEntitlement
from tiers.domain.subscription_timeline import SubscriptionState
from tiers.models import Subscription
from tiers.queries.subscriptions import held_tier, on_tier, timeline_of

_DUE_AMONG = "balance_id = ANY(%s::uuid[]) AND status = 'active' AND next_allocation_at <= %s ORDER BY balance_id"
_ALLOCATED = (
    "SELECT balance_id, period FROM tiers_monthlyallocation WHERE balance_id = ANY(%s::uuid[]) AND period >= %s"
)


def due(*, at: datetime, tier: str | None = None, after: UUID | None = None) -> QuerySet[Subscription]:
    """Return the active subscriptions with a period that began by ``at`` and that the monthly run has not processed.

    The order is by balance id, and ``after`` excludes the ids up to and including it. With ``tier``, only subscriptions
    that hold the tier at ``at``.
    """
    rows = on_tier(tier, at=at) if tier else Subscription.objects.all()
    after_key = Q(pk__gt=after) if after else Q()
    return rows.filter(after_key, status="active", next_allocation_at__lte=at).order_by("pk")


def due_among(balance_ids: Collection[UUID], *, at: datetime) -> list[Subscription]:
    """Return those of :func:`due` that belong to these balances, ordered by balance id."""
    return statements.select(Subscription, _DUE_AMONG, [statements.array(balance_ids), at])


def due_by_tier(*, at: datetime, tier: str | None = None) -> dict[str, int]:
    """Return the number of due subscriptions of each tier; of one whose end is not stored yet, the last tier."""
    held = due(at=at, tier=tier).order_by().annotate(last_tier=Coalesce(held_tier(at), "tier")).values_list("last_tier")
    return dict(held.annotate(Count("pk")).order_by("last_tier"))


def allocated_periods(subscriptions: Collection[SubscriptionState]) -> set[tuple[UUID, int]]:
    """Return the recorded (balance, period) pairs of these subscriptions, from their next periods on."""
    if not subscriptions:
        return set()
    earliest = min(subscription.next_period for subscription in subscriptions)
    ids = statements.array(subscription.balance_id for subscription in subscriptions)
    return {(row["balance_id"], row["period"]) for row in statements.fetch(_ALLOCATED, [ids, earliest])}


class UpcomingAllocation(NamedTuple):
    """A future allocation: ``amount`` whole credits at ``at``, their expiry and their rollover."""

    at: datetime
    amount: int
    expires_at: datetime | None
    roll_cap: int | None
    roll_until: datetime | None


def upcoming_allocations(*, owner: OwnerLike, at: datetime, until: datetime) -> list[UpcomingAllocation]:
    """Return the allocations that will be granted before ``until``, as planned at ``at``, in order of time.

    Each follows the tier that will be in force, less what proration granted. While the monthly run is due, the first is
    dated in the past; a missed period that would grant nothing is left out. There are none from the end of the
    subscription on, none while it is paused, and none for a deactivated user or a closed organization.
    """
    owner_id = Owner.of(owner).id
    subscription = Subscription.objects.filter(pk=owner_id, status="active").first()
    if subscription is None or identity.inactive_owners([owner_id]):
        return []
    entitlements = timeline_of(subscription, at=at).unallocated(allocated_periods([subscription]))
    ahead = takewhile(lambda entitlement: entitlement.starts_at < until, entitlements)
    return [_upcoming(each, at) for each in ahead if each.credits_due(at) or not each.is_over(at)]


def _upcoming(entitlement: PeriodEntitlement, at: datetime) -> UpcomingAllocation:
    if entitlement.is_over(at):
        # The credits are granted as rolled-over credits.
        return UpcomingAllocation(
            entitlement.starts_at, entitlement.credits_due(at), entitlement.roll_until, None, None
        )
    return UpcomingAllocation(
        entitlement.starts_at,
        entitlement.credits,
        entitlement.expires_at,
        entitlement.roll_cap,
        entitlement.roll_until,
    )
