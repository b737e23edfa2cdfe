"""Subscriptions and tiers for tests. Subscriptions are created and allocated by the operations."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from credits import queries as ledger_queries
from credits.models import CreditBalance
from fluxori.identity.owner import Owner, OwnerLike
from tests.support.factories.credits import make_user
from tests.support.times import DAY, NOON
from tiers import operations
from tiers.domain.periods import period_start
from tiers.models import Subscription, Tier

# April has 30 days, so half of the period is easy to compute.
APRIL, MID_APRIL, MAY = (datetime(2025, *day, tzinfo=UTC) for day in ((4, 1), (4, 16), (5, 1)))


def make_subscribed_balance(
    owner: OwnerLike | None = None, tier: str = "explorer", at: datetime = NOON, **arguments: Any
) -> CreditBalance:
    """Return the balance of ``owner``, or of a new user, initialized on ``tier`` at ``at``."""
    balance_owner = Owner.of(owner or make_user())
    operations.initialize_balance(owner=balance_owner, tier=tier, at=at, **arguments)
    return CreditBalance.objects.get(pk=balance_owner.id)


def make_subscribed_balances(count: int, tier: str = "explorer", at: datetime = NOON) -> list[CreditBalance]:
    """Return ``count`` new balances on ``tier``, each with its initial credits."""
    return [make_subscribed_balance(tier=tier, at=at) for _ in range(count)]


def month(k: int, anchor: datetime = NOON) -> datetime:
    """Return the start of period ``k`` of an anchor."""
    return period_start(anchor, k)


def make_expiring_tier(monthly_credits: int = 100, code: str = "fleeting") -> Tier:
    """Return a tier with the ``none`` policy: credits expire when their period ends."""
    return Tier.objects.create(
        code=code,
        name=code.capitalize(),
        monthly_credits=monthly_credits,
        price_min=0,
        price_max=0,
        rollover=Tier.Rollover.NONE,
    )


def make_capped_tier(
    monthly_credits: int = 100,
    code: str = "capped",
    *,
    cap: int | None = None,
    percent: int | None = None,
    months: int | None = None,
) -> Tier:
    """Return a tier with the ``capped`` policy: credits up to the cap roll over when their period ends."""
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


def change_tier(balance: CreditBalance, tier: str, at: datetime = NOON + DAY, **arguments: Any) -> Any:
    """Change the tier of a balance and return the result."""
    return operations.update_subscription_tier(owner=balance.owner, tier=tier, at=at, **arguments)


def run_allocation(balances: Iterable[CreditBalance], at: datetime) -> operations.Totals:
    """Allocate what is due by ``at`` to these balances, as one chunk of the monthly run."""
    return operations.allocate_due(balance_ids=[balance.pk for balance in balances], at=at)


def subscription_of(balance: CreditBalance) -> Subscription:
    """Return the stored subscription of a balance."""
    return Subscription.objects.get(pk=balance.pk)


def periods_of(balance: CreditBalance) -> list[tuple[int, int]]:
    """Return (period, credits) of every allocation of a balance, by period."""
    return list(balance.allocations.order_by("period").values_list("period", "credits"))


def changes_of(balance: CreditBalance) -> list[tuple[int, str, str, int]]:
    """Return (period, from, to, prorated credits) of every stored change of tier of a balance, by number."""
    return list(balance.tier_changes.order_by("number").values_list("period", "from_tier", "to_tier", "credits"))


def spendable_grants(balance: CreditBalance, at: datetime) -> list[tuple[str, int, datetime | None]]:
    """Return (source, credits, expiry) of every grant that can be spent at ``at``, in burn order."""
    state = ledger_queries.load_settled_balance(balance.owner, at=at)
    return [(grant.source, grant.remaining, grant.expires_at) for grant in state.spendable()]
