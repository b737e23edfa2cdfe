"""Which tier a subscription holds, and when: brought up to an instant in memory, as a book is, and written at once."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection

from fluxori.kernel.ids import uuid7
from tiers import queries
from tiers.models import Subscription, Tier, TierChange
from tiers.operations._promise import Promise
from tiers.periods import period_at, period_start


@dataclass(slots=True)
class Tenure:
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
        queries.brought_up(self.subscription, at)
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

    def promise(self, period: int) -> Promise:
        """Return what is due for the period: its tier's credits, less what proration has given in it."""
        return Promise.of(self.subscription, self.tier_in(period), period, given=self.given_in(period))

    def missing(self, known: Collection[tuple[UUID, int]], at: datetime) -> Iterable[Promise]:
        """Yield the periods begun by ``at``, from the subscription's next one on, that are not recorded yet."""
        for period in range(self.subscription.next_period, self.period_at(at) + 1):
            if (self.subscription.pk, period) not in known:
                yield self.promise(period)


def tenures(subscriptions: Collection[Subscription], *, at: datetime) -> dict[UUID, Tenure]:
    """Return the tenure of each of these subscriptions, brought up to ``at``; read, and not written."""
    tiers = Tier.objects.in_bulk()
    earliest = min(
        (min(each.next_period, period_at(each.anchor, at)) for each in subscriptions),
        default=0,
    )
    changes = queries.tier_changes(subscriptions, period=earliest)
    found = {each.pk: Tenure(each, tiers, changes[each.pk]) for each in subscriptions}
    for tenure in found.values():
        tenure.reach(at)
    return found


def tenure_of(subscription: Subscription, *, at: datetime) -> Tenure:
    """Return the tenure of one subscription, brought up to ``at``; read, and not written."""
    return tenures([subscription], at=at)[subscription.pk]


def write(changed: Collection[Tenure]) -> None:
    """Write these subscriptions as they stand in memory, and the changes of tier that came to light."""
    unwritten = [change for tenure in changed for change in tenure.unwritten]
    if unwritten:
        TierChange.objects.bulk_create(unwritten)
    rows = [tenure.subscription for tenure in changed]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE tiers_subscription AS s
               SET tier_id = v.tier_id, scheduled_tier_id = v.scheduled_tier_id, scheduled_at = v.scheduled_at,
                   changes = v.changes, next_period = v.next_period, next_allocation_at = v.next_allocation_at
              FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::timestamptz[], %s::int[], %s::int[],
                          %s::timestamptz[])
                   AS v (id, tier_id, scheduled_tier_id, scheduled_at, changes, next_period, next_allocation_at)
             WHERE s.balance_id = v.id
            """,
            [
                [row.pk for row in rows],
                [row.tier_id for row in rows],
                [row.scheduled_tier_id for row in rows],
                [row.scheduled_at for row in rows],
                [row.changes for row in rows],
                [row.next_period for row in rows],
                [row.next_allocation_at for row in rows],
            ],
        )
