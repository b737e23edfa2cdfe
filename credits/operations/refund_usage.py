"""Refund a usage, in whole or in part."""

from datetime import datetime
from typing import Any
from uuid import UUID

from credits import queries
from credits.domain import errors
from credits.engine.corrections import (
    Original,
    check_in_future,
    correction_validator,
    load_original,
    plan_refund,
    refund_shares,
    run_on_transaction,
)
from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import LockedBalance, OperationResult, transaction_details
from credits.engine.plan_grants import plan_grant
from credits.engine.results import RefundResult, refund_extras, refund_result
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
) -> RefundResult:
    """Give back what a usage took: ``amount`` whole credits, or all that was not refunded yet.

    The credits return to the grants that paid, the last one first, and keep the expiry of those grants. If a grant was
    extended since, its credits last as long as the extension. Credits of a grant that has expired roll over as far as
    its cap has room, and the rest leaves at once. With ``expires_at`` they come back instead as a new grant that lasts
    until then. Limits that counted the usage count the refund too, while their window lasts.

    With ``expires_at`` the transaction may also be a refund: what left at once, because its grants had expired, comes
    back as a new grant, by an ``adjustment`` that is linked to the refund.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid
    :raises TransactionNotFoundError: there is no such transaction
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises NotRefundableError: the transaction is not a usage, and not a refund with ``expires_at``
    :raises RefundExceedsUsageError: the amount exceeds what was used and not yet refunded, or what left at once
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
        if original.row.type == CreditTransaction.Type.REFUND and expires_at is not None:
            return _plan_revival(
                balance, request, original, {"amount": amount, "expires_at": expires_at, "reason": reason}
            )
        if original.row.type != CreditTransaction.Type.USAGE:
            raise errors.NotRefundableError()
        refund = original.correctable if amount is None else amount
        if not 0 < refund <= original.correctable:
            raise errors.RefundExceedsUsageError(refundable=original.correctable)
        check_in_future(balance, expires_at)

        # No error below this line.
        available = balance.state.available
        shares, taken_as_debt = refund_shares(balance, original, refund)
        details = transaction_details(request, **original.details(reason))
        transaction = plan_refund(balance, shares, details, expires_at, taken_as_debt=taken_as_debt)
        balance.state.count_toward_limits(-refund, original.row.member_id, original.row.timestamp)
        extras = refund_extras(balance.state.available - available)
        return balance.record(request, transaction=transaction, extras=extras)

    return refund_result(run_on_transaction(transaction_id, request, at, plan))


def _plan_revival(
    balance: LockedBalance,
    request: RequestIdentity,
    refund: Original,
    arguments: dict[str, Any],
) -> OperationResult:
    """Plan the grant that brings back what left at once after a refund, and was not brought back before."""
    lapsed = queries.expired_at_once(refund.row) - refund.corrected
    amount, expires_at = arguments["amount"], arguments["expires_at"]
    revived = lapsed if amount is None else amount
    if not 0 < revived <= lapsed:
        raise errors.RefundExceedsUsageError(refundable=lapsed)
    check_in_future(balance, expires_at)

    # No error below this line.
    available = balance.state.available
    details, terms = refund.details(arguments["reason"]), {"expires_at": expires_at}
    transaction = plan_grant(balance, request, amount=revived, kind="adjustment", terms=terms, details=details)
    extras = refund_extras(balance.state.available - available)
    return balance.record(request, transaction=transaction, extras=extras)
