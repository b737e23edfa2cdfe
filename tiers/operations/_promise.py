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
    """One period of one subscription: when it is, which tier's it is, and the whole credits still due for it.

    They expire at ``expires_at``, the end of the period, or never. Of what is left then, up to ``roll_cap`` may roll
    over, spendable up to ``roll_until``, or for ever.
    """

    period: int
    starts_at: datetime
    ends_at: datetime
    tier: Tier
    credits: int
    expires_at: datetime | None
    roll_cap: int | None
    roll_until: datetime | None

    @classmethod
    def of(cls, subscription: Subscription, tier: Tier, period: int, *, given: int = 0) -> "Promise":
        """Return what ``tier`` promises for the period, less what proration has ``given`` in it."""
        ends_at = period_start(subscription.anchor, period + 1)
        lasts = tier.rollover == Tier.Rollover.UNLIMITED
        months = tier.rollover_months
        return cls(
            period=period,
            starts_at=period_start(subscription.anchor, period),
            ends_at=ends_at,
            tier=tier,
            credits=max(tier.monthly_credits - given, 0),
            expires_at=None if lasts else ends_at,
            roll_cap=roll_cap(tier),
            # Counted from the anchor, like the period itself, so that it never drifts.
            roll_until=None if months is None else period_start(subscription.anchor, period + 1 + months),
        )

    def over(self, at: datetime) -> bool:
        """Whether its credits would have expired before they could be given at ``at``."""
        return self.expires_at is not None and self.expires_at <= at

    def due(self, at: datetime) -> int:
        """Return the whole credits to give for it at ``at``.

        All of them while they can be spent. Once the period is over, what would have rolled over if they had been given
        in time and not been spent: up to the cap, unless even that had expired by now; nothing where nothing rolls.
        """
        if not self.over(at):
            return self.credits
        if self.roll_cap is None or (self.roll_until is not None and self.roll_until <= at):
            return 0
        return min(self.credits, self.roll_cap)


def roll_cap(tier: Tier) -> int | None:
    """Return how many credits of a tier may be rolled over at a time; None where its policy is not ``capped``.

    Of a cap in credits and one in percent of the monthly credits, rounded down, the smaller counts.

    >>> roll_cap(Tier(rollover="capped", monthly_credits=999, rollover_cap_percent=50, rollover_cap_credits=500))
    499
    """
    caps = []
    if tier.rollover_cap_credits is not None:
        caps.append(tier.rollover_cap_credits)
    if tier.rollover_cap_percent is not None:
        caps.append(tier.monthly_credits * tier.rollover_cap_percent // 100)
    return min(caps, default=None)


def keep(page: ledger.Page, request: ledger.Request, promise: Promise, *, amount: int, **facts: Any) -> Transaction:
    """Plan a grant of ``amount`` credits for the promised period on an open page, on the terms of its tier."""
    if promise.over(page.at):
        assert promise.roll_cap is not None
        return ledger.give_rolled(
            page, request, amount=amount, cap=promise.roll_cap, until=promise.roll_until, facts=facts
        )
    terms = {"expires_at": promise.expires_at, "roll_cap": promise.roll_cap, "roll_until": promise.roll_until}
    return ledger.give(page, request, amount=amount, kind="allocation", terms=terms, facts=facts)


def allocation_row(
    page: ledger.Page, promise: Promise, transaction: Transaction | None, run: UUID | None
) -> MonthlyAllocation:
    """Return the record that the period was looked after."""
    return MonthlyAllocation(
        id=uuid7(),
        balance_id=page.book.id,
        period=promise.period,
        tier=promise.tier,
        credits=transaction.amount if transaction else 0,
        transaction_id=transaction.id if transaction else None,
        run_id=run,
        starts_at=promise.starts_at,
        ends_at=promise.ends_at,
        allocated_at=page.at,
    )


def describe(promise: Promise) -> str:
    """Return what the customer reads in the history."""
    return f"{promise.tier.name}: {promise.starts_at:%-d %B %Y} to {promise.ends_at:%-d %B %Y}"
