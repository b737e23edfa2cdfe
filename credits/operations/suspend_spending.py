"""Suspend and resume the spending of a balance."""

from datetime import datetime
from uuid import UUID

from credits.arguments import Validator
from credits.domain import constants
from credits.domain.records import BalanceSnapshot
from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import OperationResult, lock_balance
from credits.tier_registry import NO_TIER_FACTS
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike


@measured
def suspend_spending(
    *,
    owner: OwnerLike,
    reason: str = "",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> BalanceSnapshot:
    """Reject spending from the balance until it is resumed; credits still arrive. A repeat changes nothing.

    The actor and the ``reason`` stay on the balance until spending is resumed.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    """
    request = _build_request("suspend_spending", reason, actor=actor, key=idempotency_key)
    return _set_suspended(Owner.of(owner), request, at, reason, suspended=True).snapshot


@measured
def resume_spending(
    *,
    owner: OwnerLike,
    reason: str = "",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> BalanceSnapshot:
    """Allow spending from the balance again. Resuming a balance that is not suspended changes nothing.

    The actor and the ``reason`` stay on the balance until spending is suspended again.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    """
    request = _build_request("resume_spending", reason, actor=actor, key=idempotency_key)
    return _set_suspended(Owner.of(owner), request, at, reason, suspended=False).snapshot


def _build_request(operation: str, reason: str, *, actor: User | UUID | None, key: str | None) -> RequestIdentity:
    validator = Validator()
    validator.string("reason", reason, maximum=constants.MAX_REASON)
    validator.raise_if_invalid()
    return build_request(operation, actor=actor, key=key, reason=reason)


@transaction_with_retry
def _set_suspended(
    owner: Owner, request: RequestIdentity, at: datetime | None, reason: str, *, suspended: bool
) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request]) as balance:
        if (previous := balance.find_result(request)) is not None:
            return previous
        state = balance.state
        if (state.suspended_at is not None) == suspended:
            return balance.record_no_change(request, tier_facts=NO_TIER_FACTS)
        state.suspended_at = balance.at if suspended else None
        state.suspension_actor_id, state.suspension_reason = request.caller, reason
        state.last_at = balance.at
        return balance.record(request, tier_facts=NO_TIER_FACTS)
