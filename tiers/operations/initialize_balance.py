"""Open a balance on a tier, with its initial allocation."""

from datetime import datetime
from uuid import UUID

from credits import operations as ledger
from credits.arguments import Validator
from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import LockedBalance, OperationResult, lock_balance
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike
from tiers import queries
from tiers.domain import constants
from tiers.domain.entitlement import PeriodEntitlement
from tiers.domain.periods import period_start
from tiers.domain.subscription_timeline import ENDED
from tiers.models import PastSubscription, Subscription, Tier, TierChange
from tiers.operations.entitlement import Result, find_tier, period_description, plan_entitlement_grant, result_of
from tiers.operations.settling import settle_subscription
from tiers.operations.writing import save_timelines


@measured
def initialize_balance(
    *,
    owner: OwnerLike,
    tier: str,
    initial_balance: int | None = None,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> Result:
    """Open the owner's balance, subscribe it to ``tier`` from ``at`` on, and make the initial allocation.

    The allocation is the tier's monthly credits, or ``initial_balance`` whole credits; 0 grants nothing. It counts
    toward the first period. A balance that was opened without a tier is subscribed.

    A balance whose subscription has ended is subscribed anew: ``at`` is the new anchor, and the numbers of the periods
    go on. Without ``initial_balance`` the allocation is then the monthly credits less what was given for the periods of
    earlier subscriptions that overlap the first period.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises TierNotFoundError: there is no such tier
    :raises BalanceExistsError: the balance has a tier already
    """
    validator = Validator()
    validator.string("tier", tier, maximum=constants.MAX_TIER_CODE, required=True)
    if initial_balance is not None:
        validator.integer("initial_balance", initial_balance, minimum=0)
    validator.raise_if_invalid()
    request = build_request(
        "initialize_balance", actor=actor, key=idempotency_key, tier=tier, initial_balance=initial_balance
    )
    return result_of(_initialize(Owner.of(owner), tier, initial_balance, request, at))


@transaction_with_retry
def _initialize(
    owner: Owner, code: str, initial_balance: int | None, request: RequestIdentity, at: datetime | None
) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request], create=True) as balance:
        replayed = balance.find_result(request)
        if replayed is not None:
            return replayed
        tier = find_tier(code)
        row = Subscription.objects.filter(pk=owner.id).first()
        if row is None:
            subscription = _subscribe(balance, tier, initial_balance)
        else:
            subscription = _subscribe_again(balance, row, tier, initial_balance, actor_id=request.caller)
        balance.state.last_at = balance.at
        first = subscription.first_period
        entitlement = PeriodEntitlement.of(subscription.anchor, tier, first, first_period=first)
        amount = subscription.initial_credits
        transaction = None
        if amount:
            description = f"Initial {period_description(entitlement)}"
            transaction = plan_entitlement_grant(balance, request, entitlement, amount=amount, description=description)
        return balance.record(request, transaction=transaction, tier_facts=queries.subscription_facts(subscription))


def _subscribe(balance: LockedBalance, tier: Tier, initial_balance: int | None) -> Subscription:
    return Subscription.objects.create(
        balance_id=balance.state.id,
        tier=tier,
        anchor=balance.at,
        next_allocation_at=period_start(balance.at, 1),
        created_at=balance.at,
        initial_credits=tier.monthly_credits if initial_balance is None else initial_balance,
    )


def _subscribe_again(
    balance: LockedBalance, ended: Subscription, tier: Tier, initial_balance: int | None, *, actor_id: UUID | None
) -> Subscription:
    """Start an ended subscription again.

    :raises BalanceExistsError: the subscription has not ended
    """
    if ended.status != ENDED:
        # A scheduled end takes effect without a job, so that it may not be stored yet.
        timeline = queries.timeline_of(ended, at=balance.at)
        if timeline.subscription.status != ENDED:
            raise ledger.BalanceExistsError()
        settle_subscription(balance, timeline, at=balance.at)
        save_timelines([timeline])
    _keep_terms(ended)
    overlap = queries.credits_of_overlapping_periods(balance.state.id, at=balance.at)
    remaining = max(tier.monthly_credits - overlap, 0)
    subscription = Subscription(
        balance_id=balance.state.id,
        tier=tier,
        anchor=balance.at,
        first_period=ended.next_period,
        next_period=ended.next_period + 1,
        next_allocation_at=period_start(balance.at, 1),
        changes=ended.changes + 1,
        created_at=ended.created_at,
        initial_credits=remaining if initial_balance is None else initial_balance,
        overlap_credits=overlap,
    )
    subscription.save(force_update=True)
    TierChange.objects.create(
        balance_id=balance.state.id,
        number=subscription.changes,
        kind=TierChange.Kind.START,
        period=subscription.first_period,
        at=balance.at,
        to_tier=tier,
        high_credits=tier.monthly_credits,
        actor_id=actor_id,
    )
    return subscription


def _keep_terms(ended: Subscription) -> None:
    assert ended.ended_at is not None
    PastSubscription.objects.create(
        balance_id=ended.pk,
        tier_id=ended.tier_id,
        anchor=ended.anchor,
        first_period=ended.first_period,
        next_period=ended.next_period,
        initial_credits=ended.initial_credits,
        overlap_credits=ended.overlap_credits,
        ended_at=ended.ended_at,
    )
