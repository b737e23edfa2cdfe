"""Which tier a subscription holds at which time, and what each of its periods is entitled to.

A :class:`SubscriptionTimeline` combines a subscription with its changes of tier and advances them to an instant in
memory. It neither reads nor writes the database: ``tiers.queries`` builds it from rows, and ``tiers.operations`` saves
it. The subscription and the changes are typed as protocols, so this module does not depend on the models.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Protocol, TypeVar
from uuid import UUID

from tiers.domain.entitlement import PeriodEntitlement, TierTerms
from tiers.domain.periods import period_at, period_start


class SubscriptionState(Protocol):
    """The attributes of a subscription that the timeline reads and sets; ``tiers.models.Subscription`` has them."""

    balance_id: UUID
    tier_id: str
    status: str
    anchor: datetime
    next_period: int
    next_allocation_at: datetime
    scheduled_tier_id: str | None
    scheduled_at: datetime | None
    changes: int
    initial_credits: int


class TierChangeFacts(Protocol):
    """The attributes of a change of tier that the timeline reads; ``tiers.models.TierChange`` has them."""

    @property
    def period(self) -> int: ...
    @property
    def from_tier_id(self) -> str: ...
    @property
    def to_tier_id(self) -> str: ...
    @property
    def high_credits(self) -> int: ...
    @property
    def credits(self) -> int: ...


@dataclass(frozen=True, slots=True)
class NewTierChange:
    """A change of tier that is not stored yet; the fields are those of ``tiers.models.TierChange``."""

    balance_id: UUID
    number: int
    period: int
    at: datetime
    from_tier_id: str
    to_tier_id: str
    high_credits: int
    credits: int = 0
    transaction_id: UUID | None = None


S = TypeVar("S", bound=SubscriptionState)


def apply_scheduled_change(subscription: S, at: datetime) -> S:
    """Apply a change scheduled for ``at`` or earlier to a subscription in memory, and return the subscription."""
    if subscription.scheduled_at is not None and subscription.scheduled_at <= at:
        assert subscription.scheduled_tier_id is not None
        subscription.tier_id = subscription.scheduled_tier_id
        subscription.scheduled_tier_id = subscription.scheduled_at = None
    return subscription


@dataclass(slots=True)
class SubscriptionTimeline:
    """One subscription and its changes of tier, from the earliest period that still waits for its allocation.

    ``changes`` are in the order in which they were made; ``new_changes`` are those of them that are not stored yet.
    """

    subscription: SubscriptionState
    tiers: Mapping[str, TierTerms]
    changes: list[TierChangeFacts]
    new_changes: list[NewTierChange] = field(default_factory=list)

    @property
    def tier(self) -> TierTerms:
        """The tier that is held now."""
        return self.tiers[self.subscription.tier_id]

    def advance_to(self, at: datetime) -> None:
        """Apply a change that was scheduled for ``at`` or earlier, dated at the instant it was scheduled for."""
        previous, scheduled_at = self.subscription.tier_id, self.subscription.scheduled_at
        apply_scheduled_change(self.subscription, at)
        if self.subscription.scheduled_at is None and scheduled_at is not None:
            # A scheduled change begins with its period, so the previous tier was never held in that period.
            self._append_change(previous, scheduled_at, high=self.tier.monthly_credits)

    def change_tier(
        self, code: str, at: datetime, *, high: int, credits: int = 0, transaction_id: UUID | None = None
    ) -> None:
        """Change to the tier ``code`` at once.

        ``high`` is the most monthly credits of any tier held in the period before the change, ``credits`` what
        proration granted for the change.
        """
        previous = self.subscription.tier_id
        self.subscription.tier_id = code
        high = max(high, self.tier.monthly_credits)
        self._append_change(previous, at, high=high, credits=credits, transaction_id=transaction_id)

    def schedule_change(self, code: str, at: datetime) -> None:
        """Schedule a change to the tier ``code`` at ``at``, in place of any change scheduled before."""
        self.subscription.scheduled_tier_id = code
        self.subscription.scheduled_at = at

    def cancel_scheduled_change(self) -> None:
        """Remove the scheduled change, if there is one."""
        self.subscription.scheduled_tier_id = self.subscription.scheduled_at = None

    def complete_periods(self, next_period: int) -> None:
        """Record that every period before ``next_period`` has its allocation."""
        self.subscription.next_period = next_period
        self.subscription.next_allocation_at = period_start(self.subscription.anchor, next_period)

    def _append_change(
        self, previous: str, at: datetime, *, high: int, credits: int = 0, transaction_id: UUID | None = None
    ) -> None:
        self.subscription.changes += 1
        change = NewTierChange(
            balance_id=self.subscription.balance_id,
            number=self.subscription.changes,
            period=self.period_at(at),
            at=at,
            from_tier_id=previous,
            to_tier_id=self.subscription.tier_id,
            high_credits=high,
            credits=credits,
            transaction_id=transaction_id,
        )
        self.changes.append(change)
        self.new_changes.append(change)

    def period_at(self, at: datetime) -> int:
        """Return the number of the period that contains ``at``."""
        return period_at(self.subscription.anchor, at)

    def tier_of_period(self, period: int) -> TierTerms:
        """Return the tier whose credits the allocation of the period grants: the last tier held in the period so far.

        An immediate change before the allocation therefore counts. For a period that has not begun, a scheduled change
        counts.
        """
        scheduled_at = self.subscription.scheduled_at
        if scheduled_at is not None and period_start(self.subscription.anchor, period) >= scheduled_at:
            assert self.subscription.scheduled_tier_id is not None
            return self.tiers[self.subscription.scheduled_tier_id]
        changes = [change for change in self.changes if change.period <= period]
        if changes:
            return self.tiers[changes[-1].to_tier_id]
        return self.tiers[self.changes[0].from_tier_id] if self.changes else self.tier

    def prorated_in(self, period: int) -> int:
        """Return the credits that prorations granted in the period."""
        return sum(change.credits for change in self.changes if change.period == period)

    def granted_in(self, period: int) -> int:
        """Return the credits granted in the period besides its allocation: prorations and the initial ones."""
        return self.prorated_in(period) + (self.subscription.initial_credits if period == 0 else 0)

    def highest_credits_in(self, period: int, allocated: int) -> int:
        """Return the most monthly credits of any tier held in the period so far.

        The result is at least the credits granted in the period: ``allocated``, the prorations and the initial
        allocation. Staff may have lowered the monthly credits of a tier since, or given more at the start.
        """
        highs = [change.high_credits for change in self.changes if change.period == period]
        high = highs[-1] if highs else self.tier.monthly_credits
        return max(high, allocated + self.granted_in(period))

    def entitlement(self, period: int) -> PeriodEntitlement:
        """Return the entitlement of the period: the credits of its tier, less what was granted in it before."""
        return PeriodEntitlement.of(
            self.subscription.anchor, self.tier_of_period(period), period, granted=self.granted_in(period)
        )

    def unallocated(self, recorded: Collection[tuple[UUID, int]]) -> Iterator[PeriodEntitlement]:
        """Yield the entitlements of all periods from ``next_period`` on, without end, except the recorded ones.

        ``recorded`` are the (balance, period) pairs that have their allocation.
        """
        for period in count(self.subscription.next_period):
            if (self.subscription.balance_id, period) not in recorded:
                yield self.entitlement(period)

    def due(self, recorded: Collection[tuple[UUID, int]], at: datetime) -> Iterator[PeriodEntitlement]:
        """Yield those of :meth:`unallocated` whose period has begun by ``at``."""
        begun = range(self.subscription.next_period, self.period_at(at) + 1)
        return (self.entitlement(period) for period in begun if (self.subscription.balance_id, period) not in recorded)
