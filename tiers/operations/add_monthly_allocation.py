"""Grant one balance its monthly credits on request, for the current period."""

from datetime import datetime
from uuid import UUID

from credits.arguments import Validator
from credits.domain import constants
from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import OperationResult, lock_balance
from fluxori.db import statements
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike
from tiers import queries
from tiers.domain import errors
from tiers.models import MonthlyAllocation, Subscription
from tiers.operations.entitlement import Result, allocation_row, period_description, plan_entitlement_grant, result_of
from tiers.operations.writing import save_timelines


@measured
def add_monthly_allocation(
    *,
    owner: OwnerLike,
    reason: str = "",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> Result:
    """Grant the balance its tier's credits for the period that contains ``at``, period 0 included, exactly once.

    The tier is the one held at ``at``. Credits that proration granted in the period are subtracted, in period 0 the
    initial allocation as well. If the period has its allocation already, the result contains the first transaction, and
    ``allocated`` is False; without a transaction if the initial allocation gave everything.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises NoSubscriptionError: the balance has no tier
    """
    validator = Validator()
    validator.string("reason", reason, maximum=constants.MAX_REASON)
    validator.raise_if_invalid()
    request = build_request("add_monthly_allocation", actor=actor, key=idempotency_key, reason=reason)
    return result_of(_add(Owner.of(owner), reason, request, at))


@transaction_with_retry
def _add(owner: Owner, reason: str, request: RequestIdentity, at: datetime | None) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request]) as balance:
        replayed = balance.find_result(request)
        if replayed is not None:
            return replayed
        subscription = Subscription.objects.filter(pk=owner.id, status="active").first()
        if subscription is None:
            raise errors.NoSubscriptionError()
        timeline = queries.timeline_of(subscription, at=balance.at)
        entitlement = timeline.entitlement(timeline.period_at(balance.at))
        previous = MonthlyAllocation.objects.filter(balance=owner.id, period=entitlement.period).first()
        if previous is not None:
            return balance.record_no_change(
                request,
                transaction_id=previous.transaction_id,
                tier_facts=queries.subscription_facts(subscription),
                extras={"allocated": False},
            )
        if entitlement.period == 0 and subscription.initial_credits and not entitlement.credits:
            # The initial allocation is that of period 0. Nothing is recorded: a larger tier may still add to it.
            return balance.record_no_change(
                request, tier_facts=queries.subscription_facts(subscription), extras={"allocated": False}
            )
        transaction = None
        if entitlement.credits:
            transaction = plan_entitlement_grant(
                balance,
                request,
                entitlement,
                amount=entitlement.credits,
                description=period_description(entitlement),
                reason=reason,
            )
        statements.insert(MonthlyAllocation, [allocation_row(balance, entitlement, transaction, None)])
        if subscription.next_period == entitlement.period:
            timeline.complete_periods(entitlement.period + 1)
        save_timelines([timeline])
        return balance.record(
            request,
            transaction=transaction,
            tier_facts=queries.subscription_facts(subscription),
            extras={"allocated": True},
        )
