"""Which tier a subscription holds, when, and what it promises: brought up to an instant in memory, as a book is.

Nothing here reads or writes; ``tiers.queries`` makes a tenure of rows, and ``tiers.operations`` writes it.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from uuid import UUID

from fluxori.core.ids import uuid7
from tiers.domain.periods import period_at, period_start
from tiers.models import Subscription, Tier, TierChange


@dataclass(frozen=True, slots=True)
class PeriodEntitlement:
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
    def of(cls, subscription: Subscription, tier: Tier, period: int, *, given: int = 0) -> "PeriodEntitlement":
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


def apply_scheduled_change(subscription: Subscription, at: datetime) -> Subscription:
    """Let a change scheduled for ``at`` or earlier take effect on a subscription in memory."""
    if subscription.scheduled_at is not None and subscription.scheduled_at <= at:
        assert subscription.scheduled_tier_id is not None
        subscription.tier_id = subscription.scheduled_tier_id
        subscription.scheduled_tier_id = subscription.scheduled_at = None
    return subscription


@dataclass(slots=True)
class SubscriptionTimeline:
    """One subscription and its changes of tier, as far back as a period still waits for its allocation."""

    subscription: Subscription
    tiers: Mapping[str, Tier]
    changes: list[TierChange]
    unwritten: list[TierChange] = field(default_factory=list)

    @property
    def tier(self) -> Tier:
        """The tier that is held now."""
        return self.tiers[self.subscription.tier_id]

    def reach(self, at: datetime) -> None:
        """Let a change that was scheduled for ``at`` or earlier take effect, dated at its own instant."""
        left, began = self.tier, self.subscription.scheduled_at
        apply_scheduled_change(self.subscription, at)
        if self.subscription.scheduled_at is None and began is not None:
            # It begins with the period, so the tier that was left was never held in it.
            self._enter(left, began, high=self.tier.monthly_credits)

    def move(self, tier: Tier, at: datetime, *, high: int, credits: int, transaction_id: UUID | None) -> None:
        """Change to ``tier`` at once. ``high`` is the most the period knew before it, ``credits`` what was prorated."""
        left = self.tier
        self.subscription.tier_id = tier.pk
        high = max(high, tier.monthly_credits)
        self._enter(left, at, high=high, credits=credits, transaction_id=transaction_id)

    def schedule(self, tier: Tier | None, at: datetime | None) -> None:
        """Schedule a change to ``tier`` at ``at``, or none; what was scheduled before gives way."""
        self.subscription.scheduled_tier_id = None if tier is None else tier.pk
        self.subscription.scheduled_at = at

    def _enter(
        self, left: Tier, at: datetime, *, high: int, credits: int = 0, transaction_id: UUID | None = None
    ) -> None:
        self.subscription.changes += 1
        change = TierChange(
            id=uuid7(),
            balance_id=self.subscription.pk,
            number=self.subscription.changes,
            period=self.period_at(at),
            at=at,
            from_tier=left,
            to_tier=self.tier,
            high_credits=high,
            credits=credits,
            transaction_id=transaction_id,
        )
        self.changes.append(change)
        self.unwritten.append(change)

    def period_at(self, at: datetime) -> int:
        """Return the period that contains ``at``."""
        return period_at(self.subscription.anchor, at)

    def tier_in(self, period: int) -> Tier:
        """Return the tier whose credits the period's allocation gives: of those held in it so far, the last.

        That of its first instant, then, unless an immediate change came before the allocation. A period that has not
        begun goes by what is scheduled.
        """
        scheduled = self.subscription.scheduled_at
        if scheduled is not None and period_start(self.subscription.anchor, period) >= scheduled:
            assert self.subscription.scheduled_tier_id is not None
            return self.tiers[self.subscription.scheduled_tier_id]
        made = [change for change in self.changes if change.period <= period]
        if made:
            return self.tiers[made[-1].to_tier_id]
        return self.tiers[self.changes[0].from_tier_id] if self.changes else self.tier

    def given_in(self, period: int) -> int:
        """Return the credits that prorations have given in the period."""
        return sum(change.credits for change in self.changes if change.period == period)

    def high_in(self, period: int, allocated: int) -> int:
        """Return the most monthly credits of any tier held in the period so far, ``allocated`` in it considered."""
        known = [change.high_credits for change in self.changes if change.period == period]
        high = known[-1] if known else self.tier.monthly_credits
        return max(high, allocated + self.given_in(period))

    def promise(self, period: int) -> PeriodEntitlement:
        """Return what is due for the period: its tier's credits, less what proration has given in it."""
        return PeriodEntitlement.of(self.subscription, self.tier_in(period), period, given=self.given_in(period))

    def waiting(self, known: Collection[tuple[UUID, int]]) -> Iterator[PeriodEntitlement]:
        """Yield the periods from the subscription's next one on that are not recorded yet, without end."""
        for period in count(self.subscription.next_period):
            if (self.subscription.pk, period) not in known:
                yield self.promise(period)

    def missing(self, known: Collection[tuple[UUID, int]], at: datetime) -> Iterator[PeriodEntitlement]:
        """Yield those of them that have begun by ``at``."""
        begun = range(self.subscription.next_period, self.period_at(at) + 1)
        return (self.promise(period) for period in begun if (self.subscription.pk, period) not in known)
