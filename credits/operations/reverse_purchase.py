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
    """Take back what a purchase gave: ``amount`` whole credits, or all that can still be reversed.

    That is what the grants of the purchase and their copies still have, plus what of them was used and not refunded,
    plus what open holds pin. What expired, was voided or was adjusted downwards is not taken again. The grants of the
    purchase come first. For the used and the pinned part the other grants follow in burn order; the rest becomes debt,
    which the next spendable credits repay first. Pinned credits are not taken.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.

    :raises InvalidArgumentError: an argument is not valid
    :raises TransactionNotFoundError: there is no such transaction
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises NotReversibleError: the transaction is not a purchase
    :raises ReversalExceedsPurchaseError: the amount exceeds what can still be reversed
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
        own_grants = queries.grants_from(original.row)
        reversible = max(original.correctable - _lost_credits(balance, own_grants), 0)
        reversal = reversible if amount is None else amount
        if not 0 < reversal <= reversible:
            raise errors.ReversalExceedsPurchaseError(reversible=reversible)

        # No error below this line.
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


def _lost_credits(balance: LockedBalance, grants: set[UUID]) -> int:
    """Return what the grants lost unused, in stored transactions and in those that due events have just added."""
    lost = queries.lost_credits(grants, balance_id=balance.state.id)
    for transaction in balance.state.transactions:
        if transaction.type in {"expiry", "void"}:
            lost -= sum(entry.amount for entry in transaction.entries if entry.grant_id in grants)
    return lost
