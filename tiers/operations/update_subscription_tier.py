"""Change the tier of a subscription, preview such a change, and cancel one that is scheduled."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from credits import queries as ledger_queries
from credits.arguments import Validator
from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import OperationResult, lock_balance
from fluxori.core import clock
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike
from tiers import queries
from tiers.domain import constants, errors
from tiers.domain.entitlement import PeriodEntitlement
from tiers.domain.proration import prorated_credits
from tiers.domain.subscription_timeline import SubscriptionTimeline
from tiers.models import MonthlyAllocation, Tier
from tiers.operations.entitlement import Result, find_tier, plan_entitlement_grant, result_of
from tiers.operations.loading import load_timeline
from tiers.operations.saving import save_subscription


@measured
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
    """Change the balance's subscription to ``tier``. The balance and the anchor stay; the next allocation changes.

    ``effective="now"`` changes at once, ``"nextPeriod"`` at the start of the next period, without a job. Either value
    replaces a change or an end that was scheduled; naming the tier that is held only cancels it.

    With ``proration="difference"`` an immediate change to a larger tier grants the difference for the rest of the
    period, with the expiry and rollover of the new tier; see :func:`tiers.domain.proration.prorated_credits`. While the
    subscription is paused there is no difference.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid; ``invalid_choice`` of ``proration`` for ``nextPeriod`` with
        ``difference``
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises TierNotFoundError: there is no such tier
    :raises NoSubscriptionError: the balance was never subscribed
    :raises SubscriptionEndedError: the subscription has ended
    """
    _validate(tier, effective, proration)
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

    ``next_allocation`` is the start of the next period without an allocation, and the credits that its allocation would
    grant; None if the subscription is paused.
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
    """Return what :func:`update_subscription_tier` would do at ``at``. Nothing is locked or written.

    :raises InvalidArgumentError: an argument is not valid
    :raises BalanceNotFoundError: the owner has no balance
    :raises TierNotFoundError: there is no such tier
    :raises NoSubscriptionError: the balance was never subscribed
    :raises SubscriptionEndedError: the subscription has ended
    """
    validator = Validator()
    if at is not None:
        validator.timestamp("at", at)
    validator.raise_if_invalid()
    _validate(tier, effective, proration)
    at = at or clock.now()
    state = ledger_queries.load_settled_balance(Owner.of(owner), at=at)
    at = max(at, state.last_at)
    new_tier = find_tier(tier)
    timeline = load_timeline(state.id, at=at)
    previous = timeline.tier
    plan = _plan(timeline, new_tier, at, effective=effective, proration=proration)
    plan.apply_to(timeline)
    return Preview(
        from_tier=previous.code,
        to_tier=new_tier.code,
        effective_at=plan.effective_at,
        grant_now=plan.grant,
        next_allocation=_next_allocation(timeline, at),
        balance_after=state.balance + plan.grant,
    )


@measured
def cancel_scheduled_change(
    *,
    owner: OwnerLike,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> Result:
    """Cancel the change of tier or the end that is scheduled for the next period.

    After its instant it can no longer be cancelled.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises NoSubscriptionError: the balance was never subscribed
    :raises SubscriptionEndedError: the subscription has ended
    :raises NoScheduledChangeError: no change and no end is scheduled
    """
    request = build_request("cancel_scheduled_change", actor=actor, key=idempotency_key)
    return result_of(_cancel(Owner.of(owner), request, at))


@dataclass(frozen=True, slots=True)
class _Plan:
    """The effect of a change of tier, as the operation applies it and the preview shows it."""

    tier: Tier
    effective_at: datetime
    scheduled: bool
    high: int
    grant: int
    entitlement: PeriodEntitlement

    def apply_to(
        self, timeline: SubscriptionTimeline, transaction_id: UUID | None = None, *, actor_id: UUID | None = None
    ) -> None:
        timeline.cancel_scheduled_change()
        if self.tier.code == timeline.subscription.tier_id:
            return
        if self.scheduled:
            timeline.schedule_change(self.tier.code, self.effective_at, actor_id=actor_id)
        else:
            timeline.change_tier(
                self.tier.code,
                self.effective_at,
                high=self.high,
                credits=self.grant,
                transaction_id=transaction_id,
                actor_id=actor_id,
            )


def _plan(timeline: SubscriptionTimeline, tier: Tier, at: datetime, *, effective: str, proration: str) -> _Plan:
    """Return the effect of a change to ``tier`` at ``at``; the timeline is not changed."""
    subscription, period = timeline.subscription, timeline.period_at(at)
    changes_tier = tier.code != subscription.tier_id
    scheduled = effective == "nextPeriod" and changes_tier
    allocations = MonthlyAllocation.objects.filter(balance=subscription.balance_id, period=period)
    high = timeline.highest_credits_in(period, sum(allocations.values_list("credits", flat=True)))
    entitlement = PeriodEntitlement.of(subscription.anchor, tier, period, first_period=subscription.first_period)
    grant = 0
    if proration == "difference" and changes_tier and not timeline.is_paused_at(at):
        grant = prorated_credits(
            new=tier.monthly_credits,
            high=high,
            starts_at=entitlement.starts_at,
            ends_at=entitlement.ends_at,
            at=at,
        )
    return _Plan(
        tier=tier,
        effective_at=timeline.period_start(period + 1) if scheduled else at,
        scheduled=scheduled,
        high=high,
        grant=grant,
        entitlement=entitlement,
    )


def _validate(tier: str, effective: str, proration: str) -> None:
    validator = Validator()
    validator.string("tier", tier, maximum=constants.MAX_TIER_CODE, required=True)
    validator.choice("effective", effective, constants.EFFECTIVE)
    validator.choice("proration", proration, constants.PRORATION)
    if (effective, proration) == ("nextPeriod", "difference"):
        validator.add_error("proration", "invalid_choice", "A change in the next period has no difference to grant.")
    validator.raise_if_invalid()


def _next_allocation(timeline: SubscriptionTimeline, at: datetime) -> tuple[datetime, int] | None:
    upcoming = timeline.unallocated(queries.allocated_periods([timeline.subscription]))
    entitlement = next(upcoming, None)
    if entitlement is None:
        return None
    return entitlement.starts_at, entitlement.credits_due(max(at, entitlement.starts_at))


@transaction_with_retry
def _update(
    owner: Owner, request: RequestIdentity, at: datetime | None, *, tier: str, effective: str, proration: str
) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request]) as balance:
        replayed = balance.find_result(request)
        if replayed is not None:
            return replayed
        new_tier = find_tier(tier)
        timeline = load_timeline(owner.id, at=balance.at)
        plan = _plan(timeline, new_tier, balance.at, effective=effective, proration=proration)
        transaction = None
        if plan.grant:
            transaction = plan_entitlement_grant(
                balance, request, plan.entitlement, amount=plan.grant, description=_description(plan)
            )
        plan.apply_to(timeline, transaction.id if transaction else None, actor_id=request.caller)
        return save_subscription(balance, request, timeline, transaction)


def _description(plan: _Plan) -> str:
    """Return the description of the transaction, which customers see in their history."""
    return f"Change to {plan.tier.name}: {plan.effective_at:%-d %B %Y} to {plan.entitlement.ends_at:%-d %B %Y}"


@transaction_with_retry
def _cancel(owner: Owner, request: RequestIdentity, at: datetime | None) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request]) as balance:
        replayed = balance.find_result(request)
        if replayed is not None:
            return replayed
        timeline = load_timeline(owner.id, at=balance.at)
        if timeline.subscription.scheduled_at is None:
            raise errors.NoScheduledChangeError()
        timeline.cancel_scheduled_change()
        return save_subscription(balance, request, timeline)
