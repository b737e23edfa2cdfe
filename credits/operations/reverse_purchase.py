"""Reverse a purchase, as after a chargeback."""

from datetime import datetime
from uuid import UUID

from credits import queries
from credits.domain import errors
from credits.domain.records import GrantDelta
from credits.engine.corrections import correction_validator, load_original, run_on_transaction, take_from
from credits.engine.idempotency import build_request
from credits.engine.locked_balance import LockedBalance, OperationResult, transaction_details
from credits.engine.results import TransactionResult, transaction_result
from credits.models import CreditTransaction
from fluxori.db.measured import measured
from fluxori.identity.models import User


@measured
def reverse_purchase(
    *,
    transaction_id: UUID,
    amount: int | None = None,
    reason: str,
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> TransactionResult:
    """Take back what a purchase gave: ``amount`` whole credits, or all that was not reversed yet.

    First from the grants of the purchase, extended or not, then from the others in burn order. What was spent already
    becomes debt, which the next spendable credits repay first. Pinned credits are not taken.

    :raises InvalidArgumentError: an argument is not valid
    :raises TransactionNotFoundError: there is no such transaction
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises NotReversibleError: the transaction is not a purchase
    :raises ReversalExceedsPurchaseError: the amount exceeds what was bought and not yet reversed
    """
    correction_validator(reason, amount).raise_if_invalid()
    request = build_request(
        "reverse_purchase",
        actor=actor,
        key=idempotency_key,
        transaction_id=transaction_id,
        amount=amount,
        reason=reason,
    )

    def plan(balance: LockedBalance) -> OperationResult:
        original = load_original(transaction_id)
        if original.row.type != CreditTransaction.Type.PURCHASE:
            raise errors.NotReversibleError()
        reversal = original.correctable if amount is None else amount
        if not 0 < reversal <= original.correctable:
            raise errors.ReversalExceedsPurchaseError(reversible=original.correctable)

        # No error below this line.
        own_grants = queries.grants_from(original.row)
        # The sort is stable, so the burn order stays within each half.
        grants = sorted(balance.state.spendable(), key=lambda grant: grant.id not in own_grants)
        deltas = take_from(reversal, grants)
        owed = reversal + sum(delta.amount for delta in deltas)
        if owed:
            deltas.append(GrantDelta(None, -owed))
        details = transaction_details(request, **original.details(reason))
        transaction = balance.state.post("reversal", balance.at, deltas, details)
        return balance.record(request, transaction=transaction)

    return transaction_result(run_on_transaction(transaction_id, request, at, plan))
