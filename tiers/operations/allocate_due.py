"""The monthly allocation of many balances: the same rule as for one, a chunk at a time."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection, transaction

from credits.engine.idempotency import IdempotentRequest, build_request
from credits.engine.locked_balance import LockedBalance, lock_balances
from fluxori.core import clock
from fluxori.db import statements
from fluxori.db.chunked_work import is_busy
from fluxori.db.transactions import transaction_with_retry
from tiers import queries
from tiers.domain.periods import period_start
from tiers.domain.subscription_timeline import PeriodEntitlement, SubscriptionTimeline
from tiers.models import AllocationRun, MonthlyAllocation, Subscription
from tiers.operations.entitlement import allocation_row, describe, keep
from tiers.operations.writing import write

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


@transaction_with_retry
def allocate_due(*, balance_ids: Collection[UUID], at: datetime, run: UUID | None = None) -> Totals:
    """Give these balances every period from 1 on that has begun by ``at`` and was not looked after yet.

    Each period follows the tier last held in it. A missed one that is already over brings what would have rolled over;
    where nothing would have, it is recorded as skipped. Commits once for all of them. Repeating it, at once or beside
    another, gives nothing twice: each balance's lock is taken first, and (balance, period) is unique.
    """
    totals = Totals()
    with lock_balances(balance_ids, at=at) as pages:
        # Read after the locks: a twin run may have looked after some of them while we waited.
        subscriptions = queries.due_among(balance_ids, at=at)
        known = queries.allocated_periods(subscriptions)
        found = queries.timelines(subscriptions, at=at)
        request = build_request("allocate_monthly_credits", actor=None, key=None)
        rows: list[dict[str, Any]] = []
        for key, tenure in found.items():
            rows += _allocate(pages[key], request, tenure, known=known, at=at, run=run, totals=totals)
        totals.subscriptions = len(subscriptions)
        if found:
            statements.insert(MonthlyAllocation, rows)
            write(found.values())
    return totals


def count_due(*, subscriptions: Iterable[Subscription], at: datetime) -> Totals:
    """Return what :func:`allocate_due` would do for these subscriptions, from a look without locks."""
    totals = Totals()
    due = list(subscriptions)
    known = queries.allocated_periods(due)
    for tenure in queries.timelines(due, at=at).values():
        totals.subscriptions += 1
        for promise in tenure.missing(known, at):
            _count(totals, promise, promise.due(at))
    return totals


def start_run(
    *, at: datetime, started_at: datetime, started_by: str, due: int = 0, tier: str | None = None
) -> AllocationRun:
    """Record that a run has begun, with ``due`` subscriptions before it."""
    return AllocationRun.objects.create(
        at=at, started_at=started_at, seen_at=started_at, started_by=started_by, due=due, tier_id=tier
    )


def note_run(*, run: AllocationRun, totals: Totals, seen_at: datetime) -> None:
    """Record how far a run has come, so that one that is killed does not look as if it went on."""
    run.seen_at = seen_at
    run.subscriptions = totals.subscriptions
    run.allocated = totals.allocated.total()
    run.skipped = totals.skipped.total()
    run.credits = totals.credits.total()
    run.refused = len(totals.refused)
    run.refusals = [[str(balance), code] for balance, code in totals.refused[:_KEPT_REFUSALS]]
    run.save()


def finish_run(*, run: AllocationRun, totals: Totals, status: str, finished_at: datetime) -> None:
    """Record how a run ended and what it came to."""
    run.status = status
    run.finished_at = finished_at
    note_run(run=run, totals=totals, seen_at=finished_at)


def rerun_refused(*, run: AllocationRun, started_by: str, at: datetime) -> AllocationRun:
    """Try again, as a run of its own, the subscriptions that ``run`` names as refused; at most a hundred are named.

    Each commits alone and waits for its lock a fifth of a second: one that is still busy is refused again. What was
    given meanwhile is not given twice.
    """
    balances = [UUID(balance) for balance, _ in run.refusals]
    again = start_run(at=at, started_at=clock.now(), started_by=started_by, due=len(balances), tier=run.tier_id)
    totals = Totals()
    for balance in balances:
        totals.add(_try(balance, at, again.pk))
    finish_run(run=again, totals=totals, status=AllocationRun.Status.DONE, finished_at=clock.now())
    return again


def _try(balance: UUID, at: datetime, run: UUID) -> Totals:
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '200ms'")
            return allocate_due(balance_ids=[balance], at=at, run=run)
    except OperationalError as fault:
        if not is_busy(fault):
            raise
        return Totals(subscriptions=1, refused=[(balance, "busy")])


def _allocate(
    page: LockedBalance,
    request: IdempotentRequest,
    tenure: SubscriptionTimeline,
    *,
    known: set[tuple[UUID, int]],
    at: datetime,
    run: UUID | None,
    totals: Totals,
) -> list[dict[str, Any]]:
    rows = []
    for promise in tenure.missing(known, at):
        amount = promise.due(page.at)
        recorded = keep(page, request, promise, amount=amount, description=describe(promise)) if amount else None
        rows.append(allocation_row(page, promise, recorded, run))
        _count(totals, promise, amount)
        page.mark_changed()
    subscription = tenure.subscription
    subscription.next_period = tenure.period_at(at) + 1
    subscription.next_allocation_at = period_start(subscription.anchor, subscription.next_period)
    return rows


def _count(totals: Totals, promise: PeriodEntitlement, given: int) -> None:
    code = promise.tier.code
    if given or not promise.credits:
        totals.allocated[code] += 1
        totals.credits[code] += given
    else:
        totals.skipped[code] += 1
