"""Open a balance on a tier, with its initial allocation."""

from datetime import datetime
from uuid import UUID

from credits import operations as ledger
from credits.arguments import Validator
from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import OperationResult, lock_balance
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike
from tiers import queries
from tiers.domain import constants
from tiers.domain.entitlement import PeriodEntitlement
from tiers.domain.periods import period_start
from tiers.models import Subscription
from tiers.operations.entitlement import Result, find_tier, period_description, plan_entitlement_grant, result_of


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
    toward period 0. A balance that was opened without a tier is subscribed.

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
        if Subscription.objects.filter(pk=owner.id).exists():
            raise ledger.BalanceExistsError()
        amount = tier.monthly_credits if initial_balance is None else initial_balance
        subscription = Subscription.objects.create(
            balance_id=owner.id,
            tier=tier,
            anchor=balance.at,
            next_allocation_at=period_start(balance.at, 1),
            created_at=balance.at,
            initial_credits=amount,
        )
        balance.state.last_at = balance.at
        entitlement = PeriodEntitlement.of(subscription.anchor, tier, 0)
        transaction = None
        if amount:
            description = f"Initial {period_description(entitlement)}"
            transaction = plan_entitlement_grant(balance, request, entitlement, amount=amount, description=description)
        return balance.record(request, transaction=transaction, tier_facts=queries.subscription_facts(subscription))
