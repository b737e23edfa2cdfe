"""Tiers: which there are, what a credit of a tier is worth, and which subscriptions a change of a tier affects."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Count, Min, QuerySet

from tiers.models import Subscription, Tier


def public_tiers() -> QuerySet[Tier]:
    """Return the tiers that the API lists, the smallest first."""
    return Tier.objects.filter(is_public=True)


def is_tier(code: str) -> bool:
    """Return whether the tier exists, public or not."""
    return Tier.objects.filter(pk=code).exists()


def value_per_credit(price: Decimal, monthly_credits: int) -> Decimal:
    """Return the value of one credit at a monthly price, in rand, rounded half to even to six decimal places.

    >>> value_per_credit(Decimal(32), 400)
    Decimal('0.080000')
    """
    return (price / monthly_credits).quantize(Decimal("0.000001"))


class TierImpact(NamedTuple):
    """The subscriptions that a change of a tier affects.

    ``subscriptions`` is the number of active subscriptions on the tier, ``next_allocation_at`` the first of their next
    allocations, and ``scheduled`` the number of other active subscriptions that are scheduled to change to the tier.
    """

    subscriptions: int
    next_allocation_at: datetime | None
    scheduled: int


def tier_impact(*, tier: str) -> TierImpact:
    """Return which subscriptions a change of the tier affects."""
    active = Subscription.objects.filter(tier=tier, status="active").order_by()
    totals = active.aggregate(count=Count("pk"), first=Min("next_allocation_at"))
    scheduled = Subscription.objects.filter(scheduled_tier=tier, status="active").exclude(tier=tier).order_by()
    return TierImpact(totals["count"], totals["first"], scheduled.count())
