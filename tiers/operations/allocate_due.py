"""The monthly allocation of many balances, one chunk in one transaction. The rules are those of a single allocation."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import LockedBalance, lock_balances
from fluxori.db import statements
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from tiers import queries
from tiers.domain.entitlement import PeriodEntitlement
from tiers.domain.subscription_timeline import SubscriptionTimeline
from tiers.models import MonthlyAllocation, Subscription
from tiers.operations.entitlement import allocation_row, period_description, plan_entitlement_grant
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

    def count_period(self, entitlement: PeriodEntitlement, granted: int) -> None:
        code = entitlement.tier.code
        if granted or not entitlement.credits:
            self.allocated[code] += 1
            self.credits[code] += granted
        else:
            self.skipped[code] += 1


@measured
@transaction_with_retry
def allocate_due(*, balance_ids: Collection[UUID], at: datetime, run: UUID | None = None) -> Totals:
    """Allocate every period from 1 on that began by ``at`` and was not processed yet, for all balances in one commit.

    Each period follows the tier last held in it. A missed period that is already over grants what would have rolled
    over; if nothing would have, it is recorded as skipped. The operation is safe to repeat and to run concurrently: the
    balances are locked first, and (balance, period) is unique.
    """
    totals = Totals()
    with lock_balances(balance_ids, at=at) as balances:
        # Read after the locks: a concurrent run may have processed some of the balances while this one waited.
        subscriptions = queries.due_among(balance_ids, at=at)
        recorded = queries.allocated_periods(subscriptions)
        timelines = queries.timelines(subscriptions, at=at)
        request = build_request("allocate_monthly_credits", actor=None, key=None)
        rows: list[dict[str, Any]] = []
        for balance_id, timeline in timelines.items():
            rows += _allocate(balances[balance_id], request, timeline, recorded=recorded, at=at, run=run, totals=totals)
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
    for timeline in queries.timelines(due, at=at).values():
        totals.subscriptions += 1
        for entitlement in timeline.due(recorded, at):
            totals.count_period(entitlement, entitlement.credits_due(at))
    return totals


def _allocate(
    balance: LockedBalance,
    request: RequestIdentity,
    timeline: SubscriptionTimeline,
    *,
    recorded: set[tuple[UUID, int]],
    at: datetime,
    run: UUID | None,
    totals: Totals,
) -> list[dict[str, Any]]:
    rows = []
    for entitlement in timeline.due(recorded, at):
        amount = entitlement.credits_due(balance.at)
        transaction = None
        if amount:
            transaction = plan_entitlement_grant(
                balance, request, entitlement, amount=amount, description=period_description(entitlement)
            )
        rows.append(allocation_row(balance, entitlement, transaction, run))
        totals.count_period(entitlement, amount)
        balance.mark_changed()
    timeline.complete_periods(timeline.period_at(at) + 1)
    return rows
