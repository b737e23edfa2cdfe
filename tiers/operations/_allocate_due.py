"""The monthly allocation of many balances: the same rule as for one, a chunk at a time."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection

from credits import operations as ledger
from tiers import queries
from tiers.models import AllocationRun, MonthlyAllocation, Subscription, Tier
from tiers.operations._promise import Promise, allocation_row, describe, keep
from tiers.periods import period_at, period_start

_KEPT_REFUSALS = 100


@dataclass(slots=True)
class Totals:
    """What a chunk, or a whole run, came to: per tier code the periods allocated and skipped, and the credits."""

    subscriptions: int = 0
    allocated: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    credits: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[UUID, str]] = field(default_factory=list)

    def add(self, other: "Totals") -> None:
        self.subscriptions += other.subscriptions
        self.allocated += other.allocated
        self.skipped += other.skipped
        self.credits += other.credits
        self.refused += other.refused


@ledger.whole
def allocate_due(*, balance_ids: Collection[UUID], at: datetime, run: UUID | None = None) -> Totals:
    """Give these balances every period from 1 on that has begun by ``at`` and was not looked after yet.

    A missed period that is already over, under a tier whose credits expire with their period, is recorded as skipped.
    Commits once for all of them. Repeating it, at once or beside another, gives nothing twice: each balance's lock is
    taken first, and (balance, period) is unique.
    """
    totals = Totals()
    tiers = Tier.objects.in_bulk()
    with ledger.opened_many(balance_ids, at=at) as pages:
        # Read after the locks: a twin run may have looked after some of them while we waited.
        subscriptions = list(queries.due(at=at).filter(pk__in=balance_ids))
        known = queries.allocated_periods(subscriptions)
        rows: list[MonthlyAllocation] = []
        for subscription in subscriptions:
            tier = tiers[subscription.tier_id]
            rows += _allocate(pages[subscription.pk], subscription, tier, known=known, at=at, run=run, totals=totals)
        totals.subscriptions = len(subscriptions)
        MonthlyAllocation.objects.bulk_create(rows)
        _advance(subscriptions)
    return totals


def missing(subscription: Subscription, tier: Tier, known: set[tuple[UUID, int]], at: datetime) -> Iterator[Promise]:
    """Yield the periods begun by ``at``, from the subscription's next one on, that are not recorded yet."""
    for period in range(subscription.next_period, period_at(subscription.anchor, at) + 1):
        if (subscription.pk, period) not in known:
            yield Promise.of(subscription, tier, period)


def count_due(*, subscriptions: Iterable[Subscription], at: datetime) -> Totals:
    """Return what :func:`allocate_due` would do for these subscriptions, from a look without locks."""
    totals = Totals()
    due = list(subscriptions)
    tiers = Tier.objects.in_bulk()
    known = queries.allocated_periods(due)
    for subscription in due:
        tier = tiers[subscription.tier_id]
        totals.subscriptions += 1
        for promise in missing(subscription, tier, known, at):
            _count(totals, tier, promise, 0 if promise.over(at) else promise.credits)
    return totals


def start_run(*, at: datetime, started_at: datetime, started_by: str, tier: str | None = None) -> AllocationRun:
    """Record that a run has begun."""
    return AllocationRun.objects.create(at=at, started_at=started_at, started_by=started_by, tier_id=tier)


def finish_run(*, run: AllocationRun, totals: Totals, status: str, finished_at: datetime) -> None:
    """Record how a run ended and what it came to."""
    run.status = status
    run.finished_at = finished_at
    run.allocated = totals.allocated.total()
    run.skipped = totals.skipped.total()
    run.credits = totals.credits.total()
    run.refused = len(totals.refused)
    run.refusals = [[str(balance), code] for balance, code in totals.refused[:_KEPT_REFUSALS]]
    run.save()


def _allocate(
    page: ledger.Page,
    subscription: Subscription,
    tier: Tier,
    *,
    known: set[tuple[UUID, int]],
    at: datetime,
    run: UUID | None,
    totals: Totals,
) -> list[MonthlyAllocation]:
    request = ledger.ask("allocate_monthly_credits", actor=None, key=None)
    rows = []
    for promise in missing(subscription, tier, known, at):
        recorded = (
            keep(page, request, promise, amount=promise.credits, description=describe(tier, promise))
            if promise.credits and not promise.over(page.at)
            else None
        )
        rows.append(allocation_row(page, tier, promise, recorded, run))
        _count(totals, tier, promise, recorded.amount if recorded else 0)
        page.touch()
    subscription.next_period = period_at(subscription.anchor, at) + 1
    subscription.next_allocation_at = period_start(subscription.anchor, subscription.next_period)
    return rows


def _count(totals: Totals, tier: Tier, promise: Promise, given: int) -> None:
    if given or not promise.credits:
        totals.allocated[tier.code] += 1
        totals.credits[tier.code] += given
    else:
        totals.skipped[tier.code] += 1


def _advance(subscriptions: list[Subscription]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE tiers_subscription AS s
               SET next_period = v.next_period, next_allocation_at = v.next_allocation_at
              FROM unnest(%s::uuid[], %s::int[], %s::timestamptz[]) AS v (id, next_period, next_allocation_at)
             WHERE s.balance_id = v.id
            """,
            [
                [subscription.pk for subscription in subscriptions],
                [subscription.next_period for subscription in subscriptions],
                [subscription.next_allocation_at for subscription in subscriptions],
            ],
        )
