"""The monthly allocation of many balances, one chunk in one transaction. The rules are those of a single allocation."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from credits.engine.locked_balance import lock_balances
from fluxori.db import statements
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity import queries as identity
from tiers import queries
from tiers.models import MonthlyAllocation, Subscription
from tiers.operations.settling import DuePeriod, due_period, settle_periods
from tiers.operations.writing import save_timelines


@dataclass(slots=True)
class Totals:
    """The results of a chunk or of a run: for each tier code the periods allocated and skipped, and the credits.

    ``rejected`` are the balances that were not processed, each with the reason as an error code.
    """

    subscriptions: int = 0
    allocated: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    credits: Counter[str] = field(default_factory=Counter)
    rejected: list[tuple[UUID, str]] = field(default_factory=list)

    def add(self, other: "Totals") -> None:
        self.subscriptions += other.subscriptions
        self.allocated += other.allocated
        self.skipped += other.skipped
        self.credits += other.credits
        self.rejected += other.rejected

    def count_period(self, period: DuePeriod) -> None:
        code = period.entitlement.tier.code
        if period.skipped:
            self.skipped[code] += 1
        else:
            self.allocated[code] += 1
            self.credits[code] += period.amount


@measured
@transaction_with_retry
def allocate_due(*, balance_ids: Collection[UUID], at: datetime, run: UUID | None = None) -> Totals:
    """Allocate every period from 1 on that began by ``at`` and was not processed yet, for all balances in one commit.

    Each period follows the tier last held in it. A period is recorded as skipped if the subscription was paused when it
    began, or if the user is deactivated or the organization closed now. A missed period that is already over grants
    what would have rolled over; if nothing would have, it is skipped too. An end that was scheduled is stored.

    The operation is safe to repeat and to run concurrently: the balances are locked first, and (balance, period) is
    unique.
    """
    totals = Totals()
    with lock_balances(balance_ids, at=at) as balances:
        # Read after the locks: a concurrent run may have processed some of the balances while this one waited.
        subscriptions = queries.due_among(balance_ids, at=at)
        recorded = queries.allocated_periods(subscriptions)
        timelines = queries.timelines(subscriptions, at=at)
        inactive = identity.inactive_owners(timelines)
        rows: list[dict[str, Any]] = []
        for balance_id, timeline in timelines.items():
            periods, period_rows = settle_periods(
                balances[balance_id],
                timeline,
                recorded=recorded,
                is_active=balance_id not in inactive,
                at=at,
                run=run,
            )
            rows += period_rows
            for period in periods:
                totals.count_period(period)
        totals.subscriptions = len(subscriptions)
        if timelines:
            statements.insert(MonthlyAllocation, rows)
            save_timelines(timelines.values())
    return totals


def count_due(*, subscriptions: Iterable[Subscription], at: datetime) -> Totals:
    """Return what :func:`allocate_due` would do for these subscriptions. Nothing is locked or written."""
    totals = Totals()
    due = list(subscriptions)
    recorded = queries.allocated_periods(due)
    timelines = queries.timelines(due, at=at)
    inactive = identity.inactive_owners(timelines)
    for balance_id, timeline in timelines.items():
        totals.subscriptions += 1
        for entitlement in timeline.due(recorded, at):
            totals.count_period(due_period(timeline, entitlement, is_active=balance_id not in inactive, at=at))
    return totals
