"""Which tier a subscription holds at which time, and what each of its periods is entitled to.

A :class:`SubscriptionTimeline` combines a subscription with its changes of tier and advances them to an instant in
memory. It neither reads nor writes the database: ``tiers.queries`` builds it from rows, and ``tiers.operations`` saves
it. The subscription and the changes are typed as protocols, so this module does not depend on the models.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Protocol, TypeVar
from uuid import UUID

from tiers.domain import constants
from tiers.domain.entitlement import PeriodEntitlement, TierTerms
from tiers.domain.periods import period_at, period_start

_MICROSECOND = timedelta(microseconds=1)

ACTIVE, ENDED = "active", "ended"


class SubscriptionState(Protocol):
    """The attributes of a subscription that the timeline reads and sets; ``tiers.models.Subscription`` has them."""

    balance_id: UUID
    tier_id: str
    status: str
    anchor: datetime
    first_period: int
    next_period: int
    next_allocation_at: datetime
    scheduled_tier_id: str | None
    scheduled_at: datetime | None
    scheduled_by_id: UUID | None
    scheduled_reason: str
    paused_at: datetime | None
    ended_at: datetime | None
    changes: int
    initial_credits: int
    overlap_credits: int


class TierChangeFacts(Protocol):
    """The attributes of a change of tier that the timeline reads; ``tiers.models.TierChange`` has them."""

    @property
    def period(self) -> int: ...
    @property
    def from_tier_id(self) -> str | None: ...
    @property
    def to_tier_id(self) -> str | None: ...
    @property
    def high_credits(self) -> int: ...
    @property
    def credits(self) -> int: ...


@dataclass(frozen=True, slots=True)
class NewTierChange:
    """A history entry that is not stored yet; the fields are those of ``tiers.models.TierChange``."""

    balance_id: UUID
    number: int
    kind: str
    period: int
    at: datetime
    from_tier_id: str | None
    to_tier_id: str | None
    high_credits: int
    credits: int = 0
    transaction_id: UUID | None = None
    actor_id: UUID | None = None
    reason: str = ""


S = TypeVar("S", bound=SubscriptionState)


def apply_scheduled_change(subscription: S, at: datetime) -> S:
    """Apply what is scheduled for ``at`` or earlier to a subscription in memory, and return the subscription.

    A change of tier is scheduled with its tier, an end without one.
    """
    if subscription.scheduled_at is not None and subscription.scheduled_at <= at:
        if subscription.scheduled_tier_id is None:
            subscription.status, subscription.ended_at = ENDED, subscription.scheduled_at
        else:
            subscription.tier_id = subscription.scheduled_tier_id
        clear_schedule(subscription)
    return subscription


def clear_schedule(subscription: SubscriptionState) -> None:
    """Remove what is scheduled, if anything is."""
    subscription.scheduled_tier_id = subscription.scheduled_at = subscription.scheduled_by_id = None
    subscription.scheduled_reason = ""


@dataclass(slots=True)
class SubscriptionTimeline:
    """One subscription and its changes of tier, from the earliest period that still waits for its allocation.

    ``changes`` are the changes from one tier to another since the anchor, in the order in which they were made.
    ``new_entries`` are the entries of the history, of every kind, that are not stored yet.
    """

    subscription: SubscriptionState
    tiers: Mapping[str, TierTerms]
    changes: list[TierChangeFacts]
    new_entries: list[NewTierChange] = field(default_factory=list)

    @property
    def tier(self) -> TierTerms:
        """The tier that is held now; of an ended subscription the last one."""
        return self.tiers[self.subscription.tier_id]

    @property
    def ends_at(self) -> datetime | None:
        """When the subscription ended, or when its end is scheduled for."""
        if self.subscription.scheduled_tier_id is None and self.subscription.scheduled_at is not None:
            return self.subscription.scheduled_at
        return self.subscription.ended_at

    def advance_to(self, at: datetime) -> None:
        """Apply what was scheduled for ``at`` or earlier, dated at the instant it was scheduled for."""
        previous, scheduled_at = self.subscription.tier_id, self.subscription.scheduled_at
        actor_id, reason = self.subscription.scheduled_by_id, self.subscription.scheduled_reason
        apply_scheduled_change(self.subscription, at)
        if self.subscription.scheduled_at is not None or scheduled_at is None:
            return
        if self.subscription.status == ENDED:
            self._append_entry(constants.KIND_END, scheduled_at, from_tier=previous, actor_id=actor_id, reason=reason)
        else:
            # A scheduled change begins with its period, so the previous tier was never held in that period.
            self._append_entry(
                constants.KIND_CHANGE, scheduled_at, from_tier=previous, to_tier=self.tier.code, actor_id=actor_id
            )

    def change_tier(
        self,
        code: str,
        at: datetime,
        *,
        high: int,
        credits: int = 0,
        transaction_id: UUID | None = None,
        actor_id: UUID | None = None,
    ) -> None:
        """Change to the tier ``code`` at once.

        ``high`` is the most monthly credits of any tier held in the period before the change, ``credits`` what
        proration granted for the change.
        """
        previous = self.subscription.tier_id
        self.subscription.tier_id = code
        self._append_entry(
            constants.KIND_CHANGE,
            at,
            from_tier=previous,
            to_tier=code,
            high=high,
            credits=credits,
            transaction_id=transaction_id,
            actor_id=actor_id,
        )

    def schedule_change(
        self, code: str | None, at: datetime, *, actor_id: UUID | None = None, reason: str = ""
    ) -> None:
        """Schedule a change to the tier ``code`` at ``at``, or an end without one, in place of what was scheduled."""
        self.subscription.scheduled_tier_id, self.subscription.scheduled_at = code, at
        self.subscription.scheduled_by_id, self.subscription.scheduled_reason = actor_id, reason

    def cancel_scheduled_change(self) -> None:
        """Remove the scheduled change or end, if there is one."""
        clear_schedule(self.subscription)

    def end(self, at: datetime, *, actor_id: UUID | None, reason: str) -> None:
        """End the subscription at once. Every period that began by ``at`` is complete."""
        clear_schedule(self.subscription)
        self.subscription.status, self.subscription.ended_at = ENDED, at
        self._append_entry(constants.KIND_END, at, from_tier=self.tier.code, actor_id=actor_id, reason=reason)

    def pause(self, at: datetime, *, actor_id: UUID | None, reason: str) -> None:
        """Pause the subscription from ``at`` on."""
        self.subscription.paused_at = at
        self._append_entry(
            constants.KIND_PAUSE,
            at,
            from_tier=self.tier.code,
            to_tier=self.tier.code,
            actor_id=actor_id,
            reason=reason,
        )

    def resume(self, at: datetime, *, actor_id: UUID | None, reason: str) -> None:
        """Resume the subscription. Every period that began while it was paused is recorded."""
        self.subscription.paused_at = None
        self._append_entry(
            constants.KIND_RESUME,
            at,
            from_tier=self.tier.code,
            to_tier=self.tier.code,
            actor_id=actor_id,
            reason=reason,
        )

    def complete_periods(self, next_period: int) -> None:
        """Record that every period before ``next_period`` has its allocation."""
        self.subscription.next_period = next_period
        self.subscription.next_allocation_at = self.period_start(next_period)

    def complete_begun_periods(self, at: datetime) -> None:
        """Record that every period that began by ``at``, and before the end, has its allocation."""
        self.complete_periods(max(self.subscription.next_period, self._last_begun(at) + 1))

    def _append_entry(
        self,
        kind: str,
        at: datetime,
        *,
        from_tier: str | None = None,
        to_tier: str | None = None,
        high: int = 0,
        credits: int = 0,
        transaction_id: UUID | None = None,
        actor_id: UUID | None = None,
        reason: str = "",
    ) -> None:
        self.subscription.changes += 1
        entry = NewTierChange(
            balance_id=self.subscription.balance_id,
            number=self.subscription.changes,
            kind=kind,
            # An end at the first instant of a period is that of the period before: the new one never began.
            period=self._last_begun(at) if kind == constants.KIND_END else self.period_at(at),
            at=at,
            from_tier_id=from_tier,
            to_tier_id=to_tier,
            high_credits=max(high, self.tier.monthly_credits),
            credits=credits,
            transaction_id=transaction_id,
            actor_id=actor_id,
            reason=reason,
        )
        if kind == constants.KIND_CHANGE:
            self.changes.append(entry)
        self.new_entries.append(entry)

    def period_start(self, period: int) -> datetime:
        """Return the instant at which ``period`` begins."""
        return period_start(self.subscription.anchor, period - self.subscription.first_period)

    def period_at(self, at: datetime) -> int:
        """Return the number of the period that contains ``at``."""
        return self.subscription.first_period + period_at(self.subscription.anchor, at)

    def _last_begun(self, at: datetime) -> int:
        """Return the last period that began by ``at`` and before the end."""
        ends_at = self.ends_at
        return self.period_at(at if ends_at is None or at < ends_at else ends_at - _MICROSECOND)

    def is_paused_at(self, instant: datetime) -> bool:
        """Return whether the subscription is paused at ``instant``, as of its last change."""
        return self.subscription.paused_at is not None and self.subscription.paused_at <= instant

    def tier_of_period(self, period: int) -> TierTerms:
        """Return the tier whose credits the allocation of the period grants: the last tier held in the period so far.

        An immediate change before the allocation therefore counts. For a period that has not begun, a scheduled change
        counts.
        """
        scheduled_at = self.subscription.scheduled_at
        scheduled = self.subscription.scheduled_tier_id
        if scheduled is not None and scheduled_at is not None and self.period_start(period) >= scheduled_at:
            return self.tiers[scheduled]
        changes = [change for change in self.changes if change.period <= period]
        code = changes[-1].to_tier_id if changes else self.changes[0].from_tier_id if self.changes else None
        return self.tiers[code] if code else self.tier

    def prorated_in(self, period: int) -> int:
        """Return the credits that prorations granted in the period."""
        return sum(change.credits for change in self.changes if change.period == period)

    def granted_in(self, period: int) -> int:
        """Return the credits that count toward the allocation of the period.

        These are prorations, and in the first period the initial allocation and what overlapping periods of an earlier
        subscription gave.
        """
        first = period == self.subscription.first_period
        subscription = self.subscription
        return self.prorated_in(period) + (subscription.initial_credits + subscription.overlap_credits if first else 0)

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
            self.subscription.anchor,
            self.tier_of_period(period),
            period,
            first_period=self.subscription.first_period,
            granted=self.granted_in(period),
        )

    def unallocated(self, recorded: Collection[tuple[UUID, int]]) -> Iterator[PeriodEntitlement]:
        """Yield the entitlements of all periods from ``next_period`` on that will be allocated, except the recorded.

        There is no last one, unless the subscription is paused, has ended, or its end is scheduled. ``recorded`` are
        the (balance, period) pairs that have their allocation.
        """
        ends_at = self.ends_at
        for period in count(self.subscription.next_period):
            starts_at = self.period_start(period)
            if self.is_paused_at(starts_at) or (ends_at is not None and starts_at >= ends_at):
                return
            if (self.subscription.balance_id, period) not in recorded:
                yield self.entitlement(period)

    def due(self, recorded: Collection[tuple[UUID, int]], at: datetime) -> Iterator[PeriodEntitlement]:
        """Yield the entitlements of the periods that began by ``at`` and before the end, except the recorded ones.

        Those that began while the subscription was paused are among them; see :meth:`is_paused_at`.
        """
        begun = range(self.subscription.next_period, self._last_begun(at) + 1)
        return (self.entitlement(period) for period in begun if (self.subscription.balance_id, period) not in recorded)
