"""Refund a usage, in whole or in part."""

from datetime import datetime
from uuid import UUID

from credits.domain import errors
from credits.engine.corrections import (
    check_in_future,
    correction_validator,
    load_original,
    plan_refund,
    refund_shares,
    run_on_transaction,
)
from credits.engine.idempotency import build_request
from credits.engine.locked_balance import LockedBalance, OperationResult, transaction_details
from credits.engine.results import TransactionResult, transaction_result
from credits.models import CreditTransaction
from fluxori.db.measured import measured
from fluxori.identity.models import User


@measured
def refund_usage(
    *,
    transaction_id: UUID,
    amount: int | None = None,
    reason: str,
    expires_at: datetime | None = None,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> TransactionResult:
    """Give back what a usage took: ``amount`` whole credits, or all that was not refunded yet.

    The credits return to the grants that paid, the last one first, and keep the expiry of those grants. Credits of a
    grant that has expired leave at once, unless ``expires_at`` is given: then they come back as a new grant that lasts
    until then. Limits that counted the usage count the refund too, while their window lasts.

    :raises InvalidArgumentError: an argument is not valid
    :raises TransactionNotFoundError: there is no such transaction
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises NotRefundableError: the transaction is not a usage
    :raises RefundExceedsUsageError: the amount exceeds what was used and not yet refunded
    :raises InvalidArgumentError: ``in_past``: ``expires_at`` is not after the refund
    """
    validator = correction_validator(reason, amount)
    if expires_at is not None:
        validator.timestamp("expires_at", expires_at)
    validator.raise_if_invalid()
    request = build_request(
        "refund_usage",
        actor=actor,
        key=idempotency_key,
        transaction_id=transaction_id,
        amount=amount,
        reason=reason,
        expires_at=expires_at,
    )

    def plan(balance: LockedBalance) -> OperationResult:
        original = load_original(transaction_id)
        if original.row.type != CreditTransaction.Type.USAGE:
            raise errors.NotRefundableError()
        refund = original.correctable if amount is None else amount
        if not 0 < refund <= original.correctable:
            raise errors.RefundExceedsUsageError(refundable=original.correctable)
        check_in_future(balance, expires_at)

        # No error below this line.
        shares = refund_shares(balance, original, refund)
        details = transaction_details(request, **original.details(reason))
        transaction = plan_refund(balance, shares, details, expires_at)
        balance.state.count_toward_limits(-refund, original.row.member_id, original.row.timestamp)
        return balance.record(request, transaction=transaction)

    return transaction_result(run_on_transaction(transaction_id, request, at, plan))
