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
from fluxori.identity import queries as identity
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike
from tiers import queries
from tiers.models import MonthlyAllocation
from tiers.operations.entitlement import Result, allocation_row, period_description, plan_entitlement_grant, result_of
from tiers.operations.loading import load_timeline
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
    """Grant the balance its tier's credits for the period that contains ``at``, the first one included, exactly once.

    The tier is the one held at ``at``. Credits that proration granted in the period are subtracted, in the first period
    also the initial allocation and what overlapping periods of an earlier subscription gave. If the period has its
    allocation already, the result contains the first transaction, and ``allocated`` is False. It has no transaction if
    the period was skipped, or if the initial allocation gave everything. ``allocated`` is False as well, and nothing is
    recorded, if the subscription was paused when the period began, or if the user is deactivated or the organization
    closed.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises NoSubscriptionError: the balance was never subscribed
    :raises SubscriptionEndedError: the subscription has ended
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
        timeline = load_timeline(owner.id, at=balance.at)
        subscription = timeline.subscription
        entitlement = timeline.entitlement(timeline.period_at(balance.at))
        previous = MonthlyAllocation.objects.filter(balance=owner.id, period=entitlement.period).first()
        if previous is not None:
            return balance.record_no_change(
                request,
                transaction_id=previous.transaction_id,
                tier_facts=queries.subscription_facts(subscription),
                extras={"allocated": False},
            )
        first = entitlement.period == subscription.first_period
        was_given = first and bool(subscription.initial_credits or subscription.overlap_credits)
        if (
            (was_given and not entitlement.credits)
            or timeline.is_paused_at(entitlement.starts_at)
            or identity.inactive_owners([owner.id])
        ):
            # The initial allocation is that of the first period. Nothing is recorded: a larger tier may still add to
            # it. What is skipped is recorded by the monthly run.
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
