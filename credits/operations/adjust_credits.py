"""Adjust a balance up or down, with a reason."""

from datetime import datetime
from uuid import UUID

from credits.domain import constants, errors
from credits.engine.corrections import correction_validator, take_from
from credits.engine.idempotency import IdempotentRequest, build_request
from credits.engine.locked_balance import OperationResult, lock_balance, transaction_details
from credits.engine.plan_grants import plan_grant
from credits.engine.results import TransactionResult, transaction_result
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike


@measured
def adjust_credits(
    *,
    owner: OwnerLike,
    amount: int,
    reason: str,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> TransactionResult:
    """Correct a balance by ``amount`` whole credits: up as a new grant, or down in burn order, never into debt.

    :raises InvalidArgumentError: an argument is not valid; the amount 0 included
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises InsufficientCreditsError: the available credits do not cover a negative amount
    """
    validator = correction_validator(reason)
    validator.integer("amount", amount, minimum=-constants.MAX_CREDITS)
    if amount == 0 and type(amount) is int:
        validator.add_error("amount", "out_of_range", "It must not be 0.")
    validator.raise_if_invalid()
    request = build_request("adjust_credits", actor=actor, key=idempotency_key, amount=amount, reason=reason)
    return transaction_result(_adjust(Owner.of(owner), amount, reason, request, at))


@transaction_with_retry
def _adjust(owner: Owner, amount: int, reason: str, request: IdempotentRequest, at: datetime | None) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request]) as balance:
        if (previous := balance.find_result(request)) is not None:
            return previous
        state = balance.state
        details = {"description": "Adjustment", "reason": reason}
        if amount > 0:
            transaction = plan_grant(balance, request, amount=amount, kind="adjustment", terms={}, details=details)
        else:
            if state.available < -amount:
                raise errors.InsufficientCreditsError(required=-amount, available=state.available, held=state.held)
            deltas = take_from(-amount, state.spendable())
            transaction = state.post("adjustment", balance.at, deltas, transaction_details(request, **details))
        return balance.record(request, transaction=transaction)
