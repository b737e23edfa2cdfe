"""Subscriptions for tests, made by the operations."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from credits.models import CreditBalance
from fluxori.identity.owner import Owner, OwnerLike
from tests.factories.credits import somebody
from tests.times import NOON
from tiers import operations
from tiers.models import Subscription, Tier
from tiers.periods import period_start


def subscribed(
    owner: OwnerLike | None = None, tier: str = "explorer", at: datetime = NOON, **asked: Any
) -> CreditBalance:
    """Return the balance of ``owner``, or of somebody new, initialized on ``tier`` at ``at``."""
    whose = Owner.of(owner or somebody())
    operations.initialize_balance(owner=whose, tier=tier, at=at, **asked)
    return CreditBalance.objects.get(pk=whose.id)


def many_subscribed(count: int, tier: str = "explorer", at: datetime = NOON) -> list[CreditBalance]:
    """Return ``count`` new balances on ``tier``, each with its initial credits."""
    return [subscribed(tier=tier, at=at) for _ in range(count)]


def month(k: int, anchor: datetime = NOON) -> datetime:
    """Return the instant at which period ``k`` of an anchor begins."""
    return period_start(anchor, k)


def fleeting(monthly_credits: int = 100, code: str = "fleeting") -> Tier:
    """Return a tier whose credits expire when their period ends."""
    return Tier.objects.create(
        code=code,
        name=code.capitalize(),
        monthly_credits=monthly_credits,
        price_min=0,
        price_max=0,
        rollover=Tier.Rollover.NONE,
    )


def run_over(balances: Iterable[CreditBalance], at: datetime) -> operations.Totals:
    """Give these balances what is due by ``at``, as one chunk of the monthly run."""
    return operations.allocate_due(balance_ids=[balance.pk for balance in balances], at=at)


def subscription_of(balance: CreditBalance) -> Subscription:
    """Return the subscription of a balance as it is stored now."""
    return Subscription.objects.get(pk=balance.pk)


def periods_of(balance: CreditBalance) -> list[tuple[int, int]]:
    """Return (period, credits) of every allocation recorded for a balance, in order."""
    return list(balance.allocations.order_by("period").values_list("period", "credits"))
