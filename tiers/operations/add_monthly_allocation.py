"""Grant one balance its monthly credits on request, for the current period."""

from datetime import datetime
from uuid import UUID

from credits import operations as ledger
from credits.domain import constants
from credits.operations import Arguments
from fluxori.db import statements
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike
from tiers import queries
from tiers.domain import errors
from tiers.models import MonthlyAllocation, Subscription
from tiers.operations.entitlement import Result, allocation_row, period_description, plan_entitlement_grant, result_of
from tiers.operations.writing import save_timelines


def add_monthly_allocation(
    *,
    owner: OwnerLike,
    reason: str = "",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> Result:
    """Grant the balance its tier's credits for the period that contains ``at``, period 0 included, exactly once.

    The tier is the one held at ``at``. Credits that proration granted in the period are subtracted. If the period has
    its allocation already, the result contains the first transaction, and ``allocated`` is False.

    :raises InvalidArgumentError: an argument is not valid
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises NoSubscriptionError: the balance has no tier
    """
    arguments = Arguments()
    arguments.text("reason", reason, maximum=constants.MAX_REASON)
    arguments.refuse()
    request = ledger.ask("add_monthly_allocation", actor=actor, key=idempotency_key, reason=reason)
    return result_of(_add(Owner.of(owner), reason, request, at))


@ledger.whole
def _add(owner: Owner, reason: str, request: ledger.Request, at: datetime | None) -> ledger.Answer:
    with ledger.opened(owner, at=at, requests=[request]) as page:
        replayed = page.replay(request)
        if replayed is not None:
            return replayed
        subscription = Subscription.objects.filter(pk=owner.id, status="active").first()
        if subscription is None:
            raise errors.NoSubscriptionError()
        timeline = queries.timeline_of(subscription, at=page.at)
        entitlement = timeline.entitlement(timeline.period_at(page.at))
        previous = MonthlyAllocation.objects.filter(balance=owner.id, period=entitlement.period).first()
        if previous is not None:
            facts = {**queries.subscription_facts(subscription), "allocated": False}
            return page.repeat(request, transaction_id=previous.transaction_id, alongside=facts)
        transaction = None
        if entitlement.credits:
            transaction = plan_entitlement_grant(
                page,
                request,
                entitlement,
                amount=entitlement.credits,
                description=period_description(entitlement),
                reason=reason,
            )
        statements.insert(MonthlyAllocation, [allocation_row(page, entitlement, transaction, None)])
        if subscription.next_period == entitlement.period:
            timeline.complete_periods(entitlement.period + 1)
        save_timelines([timeline])
        facts = {**queries.subscription_facts(subscription), "allocated": True}
        return page.record(request, transaction=transaction, alongside=facts)
