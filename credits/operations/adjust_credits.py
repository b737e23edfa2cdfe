"""Adjust a balance up or down, with a reason."""

from datetime import datetime
from typing import Any
from uuid import UUID

from credits.domain import constants, errors
from credits.engine.corrections import correction_validator, take_from
from credits.engine.idempotency import RequestIdentity, build_request
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
    expires_at: datetime | None = None,
    priority: int | None = None,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> TransactionResult:
    """Correct a balance by ``amount`` whole credits: up as a new grant, or down in burn order, never into debt.

    ``expires_at`` and ``priority`` (default 50) are terms of the new grant, so they need a positive amount.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid; the amount 0 included
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises InsufficientCreditsError: the available credits do not cover a negative amount
    :raises InvalidArgumentError: ``in_past``: the credits would expire at or before the instant they take effect
    """
    validator = correction_validator(reason)
    validator.integer("amount", amount, minimum=-constants.MAX_CREDITS)
    if amount == 0 and type(amount) is int:
        validator.add_error("amount", "out_of_range", "It must not be 0.")
    terms: dict[str, Any] = {}
    if expires_at is not None:
        validator.timestamp("expires_at", expires_at)
        terms["expires_at"] = expires_at
    if priority is not None:
        validator.integer("priority", priority, minimum=0, maximum=constants.MAX_PRIORITY)
        terms["priority"] = priority
    if type(amount) is int and amount < 0:
        for name in terms:
            validator.add_error(name, "invalid_choice", "Only credits that are added have it.")
    validator.raise_if_invalid()
    request = build_request("adjust_credits", actor=actor, key=idempotency_key, amount=amount, reason=reason, **terms)
    return transaction_result(_adjust(Owner.of(owner), request, at, amount=amount, reason=reason, terms=terms))


@transaction_with_retry
def _adjust(
    owner: Owner,
    request: RequestIdentity,
    at: datetime | None,
    *,
    amount: int,
    reason: str,
    terms: dict[str, Any],
) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request]) as balance:
        if (previous := balance.find_result(request)) is not None:
            return previous
        state = balance.state
        details = {"description": "Adjustment", "reason": reason}
        if amount > 0:
            transaction = plan_grant(balance, request, amount=amount, kind="adjustment", terms=terms, details=details)
        else:
            if state.available < -amount:
                raise errors.InsufficientCreditsError(required=-amount, available=state.available, held=state.held)
            deltas = take_from(-amount, state.spendable())
            transaction = state.post("adjustment", balance.at, deltas, transaction_details(request, **details))
        return balance.record(request, transaction=transaction)
