"""What a tier promises for one period, and how the grant that keeps it is written."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from credits import operations as ledger
from credits.book import Snapshot, Transaction
from credits.models import CreditTransaction
from fluxori.kernel.ids import uuid7
from tiers import errors
from tiers.models import MonthlyAllocation, Subscription, Tier
from tiers.periods import period_start


@dataclass(frozen=True, slots=True)
class Result:
    """What a verb of the tiers did: the balance ``after`` it, the tier facts, and the grant where there was one.

    ``allocated`` is False where the period had its credits already; ``transaction`` is then the first one.
    """

    after: Snapshot
    alongside: dict[str, Any]
    transaction: CreditTransaction | None = None
    allocated: bool = False
    replayed: bool = False


def result_of(answer: ledger.Answer) -> Result:
    """Return the verb's result, the first time and on every replay."""
    return Result(
        after=answer.after,
        alongside=answer.alongside,
        transaction=ledger.transaction_of(answer) if answer.transaction_id else None,
        allocated=answer.alongside.get("allocated", False),
        replayed=answer.replayed,
    )


def find_tier(code: str) -> Tier:
    """:raises TierNotFoundError: if there is no such tier"""
    tier = Tier.objects.filter(pk=code).first()
    if tier is None:
        raise errors.TierNotFoundError(tier=code)
    return tier


@dataclass(frozen=True, slots=True)
class Promise:
    """One period of one subscription: when it is, and the whole credits still due for it."""

    period: int
    starts_at: datetime
    ends_at: datetime
    credits: int
    rollover: str

    @classmethod
    def of(cls, subscription: Subscription, tier: Tier, period: int) -> "Promise":
        given = subscription.prorated_credits if subscription.high_period == period else 0
        return cls(
            period=period,
            starts_at=period_start(subscription.anchor, period),
            ends_at=period_start(subscription.anchor, period + 1),
            credits=max(tier.monthly_credits - given, 0),
            rollover=tier.rollover,
        )

    def over(self, at: datetime) -> bool:
        """Whether its credits would have expired before they could be given at ``at``."""
        return self.rollover == Tier.Rollover.NONE and self.ends_at <= at


def keep(page: ledger.Page, request: ledger.Request, promise: Promise, *, amount: int, **facts: Any) -> Transaction:
    """Plan the allocation of ``amount`` credits for the promised period on an open page."""
    expires_at = promise.ends_at if promise.rollover == Tier.Rollover.NONE else None
    return ledger.give(page, request, amount=amount, kind="allocation", terms={"expires_at": expires_at}, facts=facts)


def allocation_row(
    page: ledger.Page, tier: Tier, promise: Promise, transaction: Transaction | None, run: UUID | None
) -> MonthlyAllocation:
    """Return the record that the period was looked after."""
    return MonthlyAllocation(
        id=uuid7(),
        balance_id=page.book.id,
        period=promise.period,
        tier=tier,
        credits=transaction.amount if transaction else 0,
        transaction_id=transaction.id if transaction else None,
        run_id=run,
        starts_at=promise.starts_at,
        ends_at=promise.ends_at,
        allocated_at=page.at,
    )


def describe(tier: Tier, promise: Promise) -> str:
    """Return what the customer reads in the history."""
    return f"{tier.name}: {promise.starts_at:%-d %B %Y} to {promise.ends_at:%-d %B %Y}"
