"""Subscriptions for tests, made by the operations."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from credits import queries as ledger_queries
from credits.models import CreditBalance
from fluxori.identity.owner import Owner, OwnerLike
from tests.support.factories.credits import make_user
from tests.support.times import NOON
from tiers import operations
from tiers.domain.periods import period_start
from tiers.models import Subscription, Tier


def subscribed(
    owner: OwnerLike | None = None, tier: str = "explorer", at: datetime = NOON, **asked: Any
) -> CreditBalance:
    """Return the balance of ``owner``, or of somebody new, initialized on ``tier`` at ``at``."""
    whose = Owner.of(owner or make_user())
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


def capped(
    monthly_credits: int = 100,
    code: str = "capped",
    *,
    cap: int | None = None,
    percent: int | None = None,
    months: int | None = None,
) -> Tier:
    """Return a tier of whose credits up to a cap roll over when their period ends."""
    return Tier.objects.create(
        code=code,
        name=code.capitalize(),
        monthly_credits=monthly_credits,
        price_min=0,
        price_max=0,
        rollover=Tier.Rollover.CAPPED,
        rollover_cap_credits=cap,
        rollover_cap_percent=percent,
        rollover_months=months,
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


def changes_of(balance: CreditBalance) -> list[tuple[int, str, str, int]]:
    """Return (period, from, to, credits prorated) of every change of tier written for a balance, in order."""
    return list(balance.tier_changes.order_by("number").values_list("period", "from_tier", "to_tier", "credits"))


def left_of(balance: CreditBalance, at: datetime) -> list[tuple[str, int, datetime | None]]:
    """Return (source, credits, expiry) of every grant that can be spent at ``at``, in burn order."""
    book = ledger_queries.settled(balance.owner, at=at)
    return [(grant.source, grant.remaining, grant.expires_at) for grant in book.spendable()]
