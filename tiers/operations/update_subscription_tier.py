from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from credits import queries as ledger_queries
from credits.domain.records import Transaction
from credits.engine.idempotency import IdempotentRequest, build_request
from credits.engine.locked_balance import LockedBalance, OperationResult, lock_balance
from credits.engine.validation import Validator
from fluxori.core import clock
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike
from tiers import queries
from tiers.domain import errors
from tiers.domain.periods import period_start
from tiers.domain.subscription_timeline import PeriodEntitlement, SubscriptionTimeline
from tiers.models import MonthlyAllocation, Subscription, Tier
from tiers.operations.entitlement import Result, find_tier, keep, result_of
from tiers.operations.writing import write

EFFECTIVE = ("now", "nextPeriod")
PRORATION = ("none", "difference")

_MICROSECOND = timedelta(microseconds=1)


def update_subscription_tier(
    *,
    owner: OwnerLike,
    tier: str,
    effective: str = "now",
    proration: str = "none",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> Result:
    """Put the balance on ``tier``. What it has and its anchor stay; the next allocation follows the new tier.

    ``now``: at once. ``nextPeriod``: at the first instant of the next period, by itself. Either replaces whatever
    change was scheduled; naming the tier that is held already only cancels it. With ``proration="difference"`` an
    immediate change up grants the difference for the rest of the period, see :func:`prorate`, on the new tier's terms.

    :raises InvalidArgumentError: for arguments that could never be right; ``invalid_choice`` of ``proration`` for
        ``nextPeriod`` with ``difference``
    :raises BalanceNotFoundError: if nobody opened such a balance
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises TierNotFoundError: if there is no such tier
    :raises NoSubscriptionError: if the balance has no tier yet
    """
    _check(tier, effective, proration)
    request = build_request(
        "update_subscription_tier",
        actor=actor,
        key=idempotency_key,
        tier=tier,
        effective=effective,
        proration=proration,
    )
    return result_of(_update(Owner.of(owner), request, at, tier=tier, effective=effective, proration=proration))


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change of tier would do at an instant. Credits are whole.

    ``next_allocation`` is when the next period begins that has no allocation yet, and what it would be given if that
    were done at once; None where the subscription is cancelled.
    """

    from_tier: str
    to_tier: str
    effective_at: datetime
    grant_now: int
    next_allocation: tuple[datetime, int] | None
    balance_after: int


def preview_subscription_tier(
    *,
    owner: OwnerLike,
    tier: str,
    effective: str = "now",
    proration: str = "none",
    at: datetime | None = None,
) -> Preview:
    """Return what :func:`update_subscription_tier` would do at ``at``. Nothing is written, and nothing is locked.

    :raises InvalidArgumentError: as the change itself would
    :raises BalanceNotFoundError: likewise
    :raises TierNotFoundError: likewise
    :raises NoSubscriptionError: likewise
    """
    validator = Validator()
    if at is not None:
        validator.timestamp("at", at)
    validator.raise_if_invalid()
    _check(tier, effective, proration)
    at = at or clock.now()
    book = ledger_queries.load_settled_balance(Owner.of(owner), at=at)
    at = max(at, book.last_at)
    asked = find_tier(tier)
    tenure = _tenure(book.id, at)
    left = tenure.tier
    plan = _plan(tenure, asked, at, effective=effective, proration=proration)
    plan.carry_out(tenure, None)
    return Preview(
        from_tier=left.code,
        to_tier=asked.code,
        effective_at=plan.effective_at,
        grant_now=plan.grant,
        next_allocation=_next_allocation(tenure, at),
        balance_after=book.balance + plan.grant,
    )


def cancel_scheduled_change(
    *,
    owner: OwnerLike,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> Result:
    """Cancel the change of tier that is scheduled for the next period. Once its instant has come, it has happened.

    :raises InvalidArgumentError: for arguments that could never be right
    :raises BalanceNotFoundError: if nobody opened such a balance
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises NoSubscriptionError: if the balance has no tier yet
    :raises NoScheduledChangeError: if no change is scheduled
    """
    request = build_request("cancel_scheduled_change", actor=actor, key=idempotency_key)
    return result_of(_cancel(Owner.of(owner), request, at))


def prorate(*, new: int, high: int, starts_at: datetime, ends_at: datetime, at: datetime) -> int:
    """Return the credits that a change to a tier of ``new`` monthly credits brings for the rest of the period.

    ``high`` is the most monthly credits of any tier held in the period before. Whole credits, rounded down, in integer
    microseconds, so that many small changes never add up to more than one; never below 0. The period is half-open.

        due = floor((new - high) * (ends_at - at) / (ends_at - starts_at))

    >>> from datetime import UTC
    >>> month = {"starts_at": datetime(2025, 4, 1, tzinfo=UTC), "ends_at": datetime(2025, 5, 1, tzinfo=UTC)}
    >>> prorate(new=2000, high=400, at=datetime(2025, 4, 16, tzinfo=UTC), **month)
    800
    """
    left, length = (ends_at - at) // _MICROSECOND, (ends_at - starts_at) // _MICROSECOND
    return max(new - high, 0) * left // length


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a change of tier comes to: one plan, for whoever carries it out and for whoever only asks."""

    tier: Tier
    effective_at: datetime
    scheduled: bool
    high: int
    grant: int
    promise: PeriodEntitlement

    def carry_out(self, tenure: SubscriptionTimeline, transaction_id: UUID | None) -> None:
        tenure.schedule(None, None)
        if self.tier == tenure.tier:
            return
        if self.scheduled:
            tenure.schedule(self.tier, self.effective_at)
        else:
            tenure.move(self.tier, self.effective_at, high=self.high, credits=self.grant, transaction_id=transaction_id)


def _plan(tenure: SubscriptionTimeline, tier: Tier, at: datetime, *, effective: str, proration: str) -> _Plan:
    """Return what putting the subscription on ``tier`` at ``at`` comes to; nothing is changed."""
    anchor, period = tenure.subscription.anchor, tenure.period_at(at)
    scheduled = effective == "nextPeriod" and tier != tenure.tier
    recorded = MonthlyAllocation.objects.filter(balance=tenure.subscription.pk, period=period)
    high = tenure.high_in(period, sum(recorded.values_list("credits", flat=True)))
    promise = PeriodEntitlement.of(tenure.subscription, tier, period)
    grant = 0
    if proration == "difference":
        grant = prorate(
            new=tier.monthly_credits, high=high, starts_at=promise.starts_at, ends_at=promise.ends_at, at=at
        )
    return _Plan(
        tier=tier,
        effective_at=period_start(anchor, period + 1) if scheduled else at,
        scheduled=scheduled,
        high=high,
        grant=grant if tier != tenure.tier else 0,
        promise=promise,
    )


def _check(tier: str, effective: str, proration: str) -> None:
    validator = Validator()
    validator.string("tier", tier, maximum=64, required=True)
    validator.choice("effective", effective, EFFECTIVE)
    validator.choice("proration", proration, PRORATION)
    if (effective, proration) == ("nextPeriod", "difference"):
        validator.add_error("proration", "invalid_choice", "A change in the next period has no difference to grant.")
    validator.raise_if_invalid()


def _tenure(balance_id: UUID, at: datetime) -> SubscriptionTimeline:
    """:raises NoSubscriptionError: if the balance has no tier yet"""
    subscription = Subscription.objects.filter(pk=balance_id).first()
    if subscription is None:
        raise errors.NoSubscriptionError()
    return queries.timeline_of(subscription, at=at)


def _next_allocation(tenure: SubscriptionTimeline, at: datetime) -> tuple[datetime, int] | None:
    subscription = tenure.subscription
    if subscription.status != Subscription.Status.ACTIVE:
        return None
    promise = next(tenure.waiting(queries.allocated_periods([subscription])))
    return promise.starts_at, promise.due(max(at, promise.starts_at))


@transaction_with_retry
def _update(
    owner: Owner, request: IdempotentRequest, at: datetime | None, *, tier: str, effective: str, proration: str
) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request]) as page:
        replayed = page.find_result(request)
        if replayed is not None:
            return replayed
        asked = find_tier(tier)
        tenure = _tenure(owner.id, page.at)
        plan = _plan(tenure, asked, page.at, effective=effective, proration=proration)
        recorded = (
            keep(page, request, plan.promise, amount=plan.grant, description=_describe(plan)) if plan.grant else None
        )
        plan.carry_out(tenure, recorded.id if recorded else None)
        return _written(page, request, tenure, recorded)


def _describe(plan: _Plan) -> str:
    """Return what the customer reads in the history."""
    return f"Change to {plan.tier.name}: {plan.effective_at:%-d %B %Y} to {plan.promise.ends_at:%-d %B %Y}"


@transaction_with_retry
def _cancel(owner: Owner, request: IdempotentRequest, at: datetime | None) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request]) as page:
        replayed = page.find_result(request)
        if replayed is not None:
            return replayed
        tenure = _tenure(owner.id, page.at)
        if tenure.subscription.scheduled_at is None:
            raise errors.NoScheduledChangeError()
        tenure.schedule(None, None)
        return _written(page, request, tenure, None)


def _written(
    page: LockedBalance, request: IdempotentRequest, tenure: SubscriptionTimeline, recorded: Transaction | None
) -> OperationResult:
    # What happens next happens after this, even where the clock of another process lags behind.
    page.state.last_at = page.at
    write([tenure])
    return page.record(request, transaction=recorded, tier_facts=queries.facts(tenure.subscription))
