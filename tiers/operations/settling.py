"""The periods of a locked subscription that are due: each is allocated, or recorded as skipped."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from credits.engine.idempotency import build_request
from credits.engine.locked_balance import LockedBalance
from fluxori.db import statements
from fluxori.identity import queries as identity
from tiers import queries
from tiers.domain import constants
from tiers.domain.entitlement import PeriodEntitlement
from tiers.domain.subscription_timeline import SubscriptionTimeline
from tiers.models import MonthlyAllocation
from tiers.operations.entitlement import allocation_row, period_description, plan_entitlement_grant


@dataclass(frozen=True, slots=True)
class DuePeriod:
    """A due period: the credits that it grants, or why it is skipped."""

    entitlement: PeriodEntitlement
    amount: int
    skipped: str


def due_period(
    timeline: SubscriptionTimeline, entitlement: PeriodEntitlement, *, is_active: bool, at: datetime
) -> DuePeriod:
    """Return what a due period grants at ``at``. ``is_active`` is whether its owner is active."""
    amount = entitlement.credits_due(at)
    skipped = constants.NOT_SKIPPED
    if timeline.is_paused_at(entitlement.starts_at):
        skipped = constants.SKIPPED_PAUSED
    elif not is_active:
        skipped = constants.SKIPPED_INACTIVE
    elif entitlement.credits and not amount:
        skipped = constants.SKIPPED_OVER
    return DuePeriod(entitlement, 0 if skipped else amount, skipped)


def settle_periods(
    balance: LockedBalance,
    timeline: SubscriptionTimeline,
    *,
    recorded: Collection[tuple[UUID, int]],
    is_active: bool,
    at: datetime,
    run: UUID | None = None,
) -> tuple[list[DuePeriod], list[dict[str, Any]]]:
    """Plan every period that began by ``at``, and return the periods and the rows that record them."""
    request = build_request("allocate_monthly_credits", actor=None, key=None)
    periods, rows = [], []
    for entitlement in timeline.due(recorded, at):
        period = due_period(timeline, entitlement, is_active=is_active, at=balance.at)
        transaction = None
        if period.amount:
            transaction = plan_entitlement_grant(
                balance, request, entitlement, amount=period.amount, description=period_description(entitlement)
            )
        rows.append(allocation_row(balance, entitlement, transaction, run, skipped=period.skipped))
        periods.append(period)
        balance.mark_changed()
    timeline.complete_begun_periods(at)
    return periods, rows


def settle_subscription(balance: LockedBalance, timeline: SubscriptionTimeline, *, at: datetime) -> None:
    """Allocate every period that began by ``at`` and that the monthly run has not processed, as that run would."""
    recorded = queries.allocated_periods([timeline.subscription])
    is_active = balance.state.id not in identity.inactive_owners([balance.state.id])
    _, rows = settle_periods(balance, timeline, recorded=recorded, is_active=is_active, at=at)
    statements.insert(MonthlyAllocation, rows)
