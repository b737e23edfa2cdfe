"""Transfer credits from one balance to another."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from credits.arguments import resolve_timestamp
from credits.domain import errors
from credits.engine.corrections import correction_validator
from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import BalanceLoader, OperationResult, flush_on_exit
from credits.engine.results import TransferResult, transaction_result
from credits.engine.transfers import plan_transfer, read_target_result
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike


@measured
def transfer_credits(
    *,
    source: OwnerLike,
    target: OwnerLike,
    amount: int,
    reason: str,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> TransferResult:
    """Move ``amount`` available credits of ``source`` to ``target``, in burn order, all or nothing.

    ``target`` gets a grant for each grant that pays, with its source, priority, expiry and unit price, and without its
    rollover. Debt of ``target`` is repaid first. A transfer is no usage: it counts toward no limit. The key belongs to
    ``source``. To take a transfer back, transfer in the other direction.

    ``at`` is the instant of the request. If one of the balances has changed since, both transactions take effect at the
    last change; see docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid
    :raises TransferToSelfError: ``source`` and ``target`` are the same owner
    :raises BalanceNotFoundError: one of the owners has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises SpendingSuspendedError: spending from one of the balances is suspended
    :raises InsufficientCreditsError: the available credits of ``source`` do not cover the amount
    """
    correction_validator(reason, amount).raise_if_invalid()
    giver, receiver = Owner.of(source), Owner.of(target)
    if giver.id == receiver.id:
        raise errors.TransferToSelfError()
    request = build_request(
        "transfer_credits", actor=actor, key=idempotency_key, target=receiver.id, amount=amount, reason=reason
    )
    sent = _transfer(giver, receiver, request, at, amount=amount, reason=reason)
    sent_result = transaction_result(sent)
    received_result = transaction_result(read_target_result(sent))
    return TransferResult(sent_result, replace(received_result, replayed=sent.replayed), sent.replayed)


@transaction_with_retry
def _transfer(
    source: Owner, target: Owner, request: RequestIdentity, at: datetime | None, *, amount: int, reason: str
) -> OperationResult:
    at = resolve_timestamp(at)
    balances = BalanceLoader([source.id, target.id], at, requests=[request]).lock_and_load()
    with flush_on_exit(balances):
        giver, receiver = balances.of(source), balances.of(target)
        if (previous := giver.find_result(request)) is not None:
            return previous
        # One instant for both, so that no grant arrives before it left.
        instant = max(at, giver.state.last_at, receiver.state.last_at)
        giver.advance_to(instant)
        receiver.advance_to(instant)
        for balance in (giver, receiver):
            if balance.state.suspended_at is not None:
                raise errors.SpendingSuspendedError(suspended_at=balance.state.suspended_at)
        state = giver.state
        if state.available < amount:
            raise errors.InsufficientCreditsError(required=amount, available=state.available, held=state.held)
        return plan_transfer(giver, receiver, request, amount=amount, reason=reason)
