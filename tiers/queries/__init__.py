"""Questions about who is promised what. Nothing here writes or locks."""

from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Case, Count, F, Min, Q, QuerySet, When

from credits.tier_registry import PendingTier, TierFacts
from fluxori.core import clock
from fluxori.db import statements
from fluxori.identity.owner import Owner, OwnerLike
from tiers.domain.periods import period_at
from tiers.domain.subscription_timeline import PeriodEntitlement, SubscriptionTimeline, apply_scheduled_change
from tiers.models import Subscription, Tier, TierChange

RULES = tuple(
    path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parents[1] / "verification" / "rules").glob("*.sql"))
)
"""What must hold of the tiers, for ``credits.verification`` to try: SQL that returns the rows that break it."""

_DUE_AMONG = "balance_id = ANY(%s::uuid[]) AND status = 'active' AND next_allocation_at <= %s ORDER BY balance_id"
_CHANGES = "balance_id = ANY(%s::uuid[]) AND period >= %s ORDER BY balance_id, number"
_ALLOCATED = (
    "SELECT balance_id, period FROM tiers_monthlyallocation WHERE balance_id = ANY(%s::uuid[]) AND period >= %s"
)

NO_TIER = TierFacts()


def tier_facts(*, owner: OwnerLike, at: datetime | None = None) -> TierFacts:
    """Return what a balance's answer says of its tier at ``at``, ready for JSON; all None where it has no tier.

    A scheduled change is in it from its instant on, whether or not it is written. ``next_allocation_at`` is when the
    first period begins that the monthly run has not yet looked after: it lies in the past while that run is due.
    Without an ``at`` the clock is read.
    """
    subscription = subscription_of(owner=owner, at=at)
    return facts(subscription) if subscription else NO_TIER


def facts(subscription: Subscription) -> TierFacts:
    """Return the tier facts of a subscription to which due changes have been applied."""
    pending = None
    if subscription.scheduled_tier_id and subscription.scheduled_at:
        pending = PendingTier(subscription.scheduled_tier_id, subscription.scheduled_at)
    return TierFacts(subscription.tier_id, pending, subscription.next_allocation_at)


def subscription_of(*, owner: OwnerLike, at: datetime | None = None) -> Subscription | None:
    """Return the owner's subscription as it stands at ``at``, or None. Without an ``at`` the clock is read."""
    found = statements.get(Subscription, Owner.of(owner).id)
    return found and apply_scheduled_change(found, at or clock.now())


def on_tier(code: str, *, at: datetime) -> QuerySet[Subscription]:
    """Return the subscriptions that hold this tier at ``at``."""
    return Subscription.objects.alias(held_tier=_held(at)).filter(held_tier=code)


def _held(at: datetime) -> Case:
    return Case(When(scheduled_at__lte=at, then=F("scheduled_tier")), default=F("tier"))


def tier_changes(subscriptions: Collection[Subscription], *, period: int) -> dict[UUID, list[TierChange]]:
    """Return for each subscription its changes of tier from ``period`` on, in the order they were made."""
    found: dict[UUID, list[TierChange]] = {subscription.pk: [] for subscription in subscriptions}
    for change in statements.select(TierChange, _CHANGES, [statements.array(found), period]):
        found[change.balance_id].append(change)
    return found


def public_tiers() -> QuerySet[Tier]:
    """Return the tiers that are offered, the smallest first."""
    return Tier.objects.filter(is_public=True)


def is_tier(code: str) -> bool:
    """Return whether there is such a tier, offered or not."""
    return Tier.objects.filter(pk=code).exists()


def due(*, at: datetime, tier: str | None = None, after: UUID | None = None) -> QuerySet[Subscription]:
    """Return the active subscriptions with a period begun by ``at`` that the monthly run has not looked after.

    In order of the balance's id, from beyond ``after``; of ``tier`` are those that hold it at ``at``.
    """
    rows = on_tier(tier, at=at) if tier else Subscription.objects.all()
    beyond = Q(pk__gt=after) if after else Q()
    return rows.filter(beyond, status="active", next_allocation_at__lte=at).order_by("pk")


def due_among(balance_ids: Collection[UUID], *, at: datetime) -> list[Subscription]:
    """Return those of :func:`due` that belong to these balances, in order of the balance's id."""
    return statements.select(Subscription, _DUE_AMONG, [statements.array(balance_ids), at])


def due_by_tier(*, at: datetime, tier: str | None = None) -> dict[str, int]:
    """Return how many subscriptions of each tier are due."""
    held = due(at=at, tier=tier).order_by().annotate(held_tier=_held(at)).values_list("held_tier")
    return dict(held.annotate(Count("pk")).order_by("held_tier"))


def allocated_periods(subscriptions: Collection[Subscription]) -> set[tuple[UUID, int]]:
    """Return which (balance, period) pairs from each subscription's next period on are already recorded."""
    if not subscriptions:
        return set()
    earliest = min(subscription.next_period for subscription in subscriptions)
    ids = statements.array(subscription.pk for subscription in subscriptions)
    return {(row["balance_id"], row["period"]) for row in statements.fetch(_ALLOCATED, [ids, earliest])}


def tier_facts_of(balance_ids: Iterable[UUID], *, at: datetime | None = None) -> dict[UUID, TierFacts]:
    """Return the tier facts of many balances at ``at``, read at once. Without an ``at`` the clock is read."""
    ids, at = list(balance_ids), at or clock.now()
    known = {row.pk: facts(apply_scheduled_change(row, at)) for row in Subscription.objects.filter(pk__in=ids)}
    return {key: known.get(key, NO_TIER) for key in ids}


def value_per_credit(price: Decimal, monthly_credits: int) -> Decimal:
    """Return what one credit is worth at a monthly price, in rand, rounded half to even at six decimal places.

    >>> value_per_credit(Decimal(32), 400)
    Decimal('0.080000')
    """
    return (price / monthly_credits).quantize(Decimal("0.000001"))


def timelines(subscriptions: Collection[Subscription], *, at: datetime) -> dict[UUID, SubscriptionTimeline]:
    """Return the tenure of each of these subscriptions, brought up to ``at``; read, and not written."""
    tiers = Tier.objects.in_bulk()
    earliest = min(
        # Where one is due, its next period has begun.
        (each.next_period if each.next_allocation_at <= at else period_at(each.anchor, at) for each in subscriptions),
        default=0,
    )
    changes = tier_changes(subscriptions, period=earliest)
    found = {each.pk: SubscriptionTimeline(each, tiers, changes[each.pk]) for each in subscriptions}
    for tenure in found.values():
        tenure.reach(at)
    return found


def timeline_of(subscription: Subscription, *, at: datetime) -> SubscriptionTimeline:
    """Return the tenure of one subscription, brought up to ``at``; read, and not written."""
    return timelines([subscription], at=at)[subscription.pk]


class UpcomingAllocation(NamedTuple):
    """An allocation that lies ahead: ``amount`` whole credits at ``at``, and what becomes of what is left of them."""

    at: datetime
    amount: int
    expires_at: datetime | None
    roll_cap: int | None
    roll_until: datetime | None


def upcoming_allocations(*, owner: OwnerLike, at: datetime, until: datetime) -> list[UpcomingAllocation]:
    """Return the allocations that will be given before ``until``, as things stand at ``at``, the next one in front.

    Each follows the tier that will be in force, less what proration has given. The first is dated in the past while the
    monthly run is due; missed ones that bring nothing any more are left out. None without an active subscription.
    """
    subscription = Subscription.objects.filter(pk=Owner.of(owner).id, status="active").first()
    if subscription is None:
        return []
    waiting = timeline_of(subscription, at=at).waiting(allocated_periods([subscription]))
    ahead = takewhile(lambda promise: promise.starts_at < until, waiting)
    return [_coming(promise, at) for promise in ahead if promise.due(at) or not promise.over(at)]


def _coming(promise: PeriodEntitlement, at: datetime) -> UpcomingAllocation:
    if promise.over(at):
        # It will be rolled over as soon as it comes.
        return UpcomingAllocation(promise.starts_at, promise.due(at), promise.roll_until, None, None)
    return UpcomingAllocation(
        promise.starts_at, promise.credits, promise.expires_at, promise.roll_cap, promise.roll_until
    )


class TierImpact(NamedTuple):
    """Whom a change of a tier touches: active subscriptions, when the first of them is next given credits, and how many
    more are scheduled to change to it.
    """

    subscriptions: int
    next_allocation_at: datetime | None
    scheduled: int


def reach(*, tier: str) -> TierImpact:
    """Return whom a change of the tier touches."""
    active = Subscription.objects.filter(tier=tier, status="active").order_by()
    found = active.aggregate(count=Count("pk"), first=Min("next_allocation_at"))
    coming = Subscription.objects.filter(scheduled_tier=tier, status="active").exclude(tier=tier).order_by()
    return TierImpact(found["count"], found["first"], coming.count())
