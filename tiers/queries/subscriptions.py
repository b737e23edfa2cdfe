"""Subscriptions: the tier facts that responses show, the changes of tier, and timelines."""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import Case, F, QuerySet, Sum, When

from credits.tier_registry import NO_TIER_FACTS, PendingTier, TierFacts
from fluxori.core import clock
from fluxori.db import statements
from fluxori.identity.owner import Owner, OwnerLike
from tiers.domain.periods import period_at
from tiers.domain.subscription_timeline import (
    ENDED,
    SubscriptionState,
    SubscriptionTimeline,
    apply_scheduled_change,
)
from tiers.models import MonthlyAllocation, PastSubscription, Subscription, Tier, TierChange

_OF_BALANCES = "balance_id = ANY(%s::uuid[])"
_CHANGES = "balance_id = ANY(%s::uuid[]) AND period >= %s AND kind = 'change' ORDER BY balance_id, number"


def tier_facts(*, owner: OwnerLike, at: datetime | None = None) -> TierFacts:
    """Return the tier facts of the owner's balance at ``at``; all None where it has no tier, or none any more.

    ``next_allocation_at`` is the start of the first period that the monthly run has not processed. It is in the past
    while that run is due. Without ``at`` the clock is read.
    """
    subscription = subscription_of(owner=owner, at=at)
    return subscription_facts(subscription) if subscription else NO_TIER_FACTS


def tier_facts_of(balance_ids: Iterable[UUID], *, at: datetime | None = None) -> dict[UUID, TierFacts]:
    """Return :func:`tier_facts` of those balances that have a subscription, in one query.

    Without ``at`` the clock is read.
    """
    at = at or clock.now()
    subscriptions = statements.select(Subscription, _OF_BALANCES, [statements.array(balance_ids)])
    return {row.pk: subscription_facts(apply_scheduled_change(row, at)) for row in subscriptions}


def subscription_facts(subscription: SubscriptionState) -> TierFacts:
    """Return the tier facts of a subscription in memory, to which due changes have been applied.

    An ended subscription has none. There is no next allocation while the subscription is paused, or after its end.
    """
    if subscription.status == ENDED:
        return NO_TIER_FACTS
    pending = None
    if subscription.scheduled_at:
        pending = PendingTier(subscription.scheduled_tier_id, subscription.scheduled_at)
    next_at: datetime | None = subscription.next_allocation_at
    ends_at = subscription.scheduled_at if pending and pending.tier is None else None
    if any(
        limit is not None and limit <= subscription.next_allocation_at for limit in (subscription.paused_at, ends_at)
    ):
        next_at = None
    return TierFacts(subscription.tier_id, pending, next_at, subscription.paused_at)


def subscription_of(*, owner: OwnerLike, at: datetime | None = None) -> Subscription | None:
    """Return the owner's subscription as of ``at``, or None. Without ``at`` the clock is read."""
    subscription = statements.get(Subscription, Owner.of(owner).id)
    return subscription and apply_scheduled_change(subscription, at or clock.now())


def on_tier(code: str, *, at: datetime) -> QuerySet[Subscription]:
    """Return the subscriptions that hold the tier at ``at``."""
    return Subscription.objects.alias(held_tier=held_tier(at)).filter(held_tier=code)


def held_tier(at: datetime) -> Case:
    """Return the SQL expression for the tier that a subscription holds at ``at``; NULL if it has ended."""
    return Case(
        When(status=ENDED, then=None),
        # An end is scheduled without a tier.
        When(scheduled_at__lte=at, then=F("scheduled_tier")),
        default=F("tier"),
    )


def tier_changes(subscriptions: Collection[Subscription], *, period: int) -> dict[UUID, list[TierChange]]:
    """Return the changes of tier of each subscription from ``period`` on, in the order in which they were made.

    Those of an earlier subscription of the balance, and other entries of the history, are left out.
    """
    changes: dict[UUID, list[TierChange]] = {subscription.pk: [] for subscription in subscriptions}
    first_periods = {subscription.pk: subscription.first_period for subscription in subscriptions}
    for change in statements.select(TierChange, _CHANGES, [statements.array(changes), period]):
        if change.period >= first_periods[change.balance_id]:
            changes[change.balance_id].append(change)
    return changes


def credits_of_overlapping_periods(balance_id: UUID, *, at: datetime) -> int:
    """Return what was given for the periods of past subscriptions that end after ``at``.

    These are the allocations, the prorations, and the initial allocation of a first period.
    """
    total = 0
    for past in PastSubscription.objects.filter(balance=balance_id):
        first = past.first_period + period_at(past.anchor, at)
        if first >= past.next_period:
            continue
        periods = {"balance": balance_id, "period__gte": first, "period__lt": past.next_period}
        for rows in (MonthlyAllocation.objects, TierChange.objects):
            total += rows.filter(**periods).aggregate(given=Sum("credits", default=0))["given"]
        total += past.initial_credits if first == past.first_period else 0
    return total


def timelines(subscriptions: Collection[Subscription], *, at: datetime) -> dict[UUID, SubscriptionTimeline]:
    """Return the timeline of each subscription, advanced to ``at`` in memory."""
    tiers = Tier.objects.in_bulk()
    earliest = min(
        # The next period of a due subscription has begun; the allocations since then depend on the changes.
        (
            each.next_period if each.next_allocation_at <= at else each.first_period + period_at(each.anchor, at)
            for each in subscriptions
        ),
        default=0,
    )
    changes = tier_changes(subscriptions, period=earliest)
    result = {each.pk: SubscriptionTimeline(each, tiers, [*changes[each.pk]]) for each in subscriptions}
    for timeline in result.values():
        timeline.advance_to(at)
    return result


def timeline_of(subscription: Subscription, *, at: datetime) -> SubscriptionTimeline:
    """Return the timeline of one subscription, advanced to ``at`` in memory."""
    return timelines([subscription], at=at)[subscription.pk]
