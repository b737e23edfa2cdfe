from datetime import datetime
from uuid import UUID

from credits.domain import constants
from credits.engine.idempotency import IdempotentRequest, build_request
from credits.engine.locked_balance import OperationResult, lock_balance
from credits.engine.validation import Validator
from fluxori.db import statements
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike
from tiers import queries
from tiers.domain import errors
from tiers.domain.periods import period_start
from tiers.models import MonthlyAllocation, Subscription
from tiers.operations.entitlement import Result, allocation_row, describe, keep, result_of
from tiers.operations.writing import write


def add_monthly_allocation(
    *,
    owner: OwnerLike,
    reason: str = "",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> Result:
    """Give the balance its tier's credits for the period that contains ``at``, period 0 included, exactly once.

    The tier is the one held at ``at``; what proration has given in the period already is not given again.
    Where the period has its credits already, the first transaction is the answer and ``allocated`` is False.

    :raises InvalidArgumentError: for arguments that could never be right
    :raises BalanceNotFoundError: if nobody opened such a balance
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises NoSubscriptionError: if the balance has no tier
    """
    validator = Validator()
    validator.string("reason", reason, maximum=constants.MAX_REASON)
    validator.raise_if_invalid()
    request = build_request("add_monthly_allocation", actor=actor, key=idempotency_key, reason=reason)
    return result_of(_add(Owner.of(owner), reason, request, at))


@transaction_with_retry
def _add(owner: Owner, reason: str, request: IdempotentRequest, at: datetime | None) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request]) as page:
        replayed = page.find_result(request)
        if replayed is not None:
            return replayed
        subscription = Subscription.objects.filter(pk=owner.id, status="active").first()
        if subscription is None:
            raise errors.NoSubscriptionError()
        tenure = queries.timeline_of(subscription, at=page.at)
        promise = tenure.promise(tenure.period_at(page.at))
        earlier = MonthlyAllocation.objects.filter(balance=owner.id, period=promise.period).first()
        if earlier is not None:
            return page.record_no_change(
                request,
                transaction_id=earlier.transaction_id,
                tier_facts=queries.facts(subscription),
                extras={"allocated": False},
            )
        recorded = (
            keep(page, request, promise, amount=promise.credits, description=describe(promise), reason=reason)
            if promise.credits
            else None
        )
        statements.insert(MonthlyAllocation, [allocation_row(page, promise, recorded, None)])
        if subscription.next_period == promise.period:
            subscription.next_period += 1
            subscription.next_allocation_at = period_start(subscription.anchor, subscription.next_period)
        write([tenure])
        return page.record(
            request, transaction=recorded, tier_facts=queries.facts(subscription), extras={"allocated": True}
        )
