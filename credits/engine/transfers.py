"""The planner of transfers: two transactions, one in each of two locked balances, which refer to each other by id."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from credits.domain import burn_order
from credits.domain.balance_state import BalanceState
from credits.domain.records import Grant, GrantDelta, Transaction, TransactionDetails
from credits.engine.idempotency import RequestIdentity, deserialize_result, serialize_result
from credits.engine.locked_balance import LockedBalance, OperationResult, transaction_details
from fluxori.core.ids import uuid7


def plan_transfer(
    giver: LockedBalance, receiver: LockedBalance, request: RequestIdentity, *, amount: int, reason: str
) -> OperationResult:
    """Plan both transactions and return the result of the giver, which contains that of the receiver in its extras.

    Due events have been applied up to the same instant, and the giver has the credits.
    """
    sent_id, received_id = uuid7(), uuid7()
    details = transaction_details(request, description="Transfer", reason=reason, counterpart_id=received_id)
    payments = burn_order.plan_payments(amount, giver.state.grants.values())
    sent = giver.state.post(
        "transfer",
        giver.at,
        [GrantDelta(grant, -paid) for grant, paid in payments],
        details,
        transaction_id=sent_id,
    )
    # The key belongs to the balance of the giver.
    details = replace(details, counterpart_id=sent_id, idempotency_key=None)
    received = _receive(receiver.state, payments, receiver.at, details, received_id)
    receiver.mark_changed()
    snapshot = receiver.state.snapshot()
    tier_facts = receiver.tier_facts.of(receiver.state.id, at=receiver.at)
    extras = {
        "balance_id": str(receiver.state.id),
        "transaction_id": str(received.id),
        "result": serialize_result(snapshot, tier_facts, {}, None),
    }
    return giver.record(request, transaction=sent, extras=extras)


def read_target_result(sent: OperationResult) -> OperationResult:
    """Return the result of the receiver from that of the giver. Its transaction is read by id."""
    stored = deserialize_result(sent.extras["result"])
    return OperationResult(
        balance_id=UUID(sent.extras["balance_id"]),
        snapshot=stored.snapshot,
        tier_facts=stored.tier_facts,
        transaction_id=UUID(sent.extras["transaction_id"]),
        replayed=sent.replayed,
    )


def _receive(
    state: BalanceState,
    payments: list[tuple[Grant, int]],
    at: datetime,
    details: TransactionDetails,
    transaction_id: UUID,
) -> Transaction:
    """Record the credits that arrive: they repay debt first, those that burn first before the others."""
    owed = state.debt
    opened, deltas = [], []
    for grant, amount in payments:
        arrived = replace(
            grant,
            id=uuid7(),
            amount=amount,
            remaining=0,
            held=0,
            effective_at=at,
            roll_cap=None,
            roll_until=None,
            parent_id=None,
            transaction_id=None,
        )
        opened.append(arrived)
        repaid = min(owed, amount)
        owed -= repaid
        if amount > repaid:
            deltas.append(GrantDelta(arrived, amount - repaid))
    if state.debt > owed:
        deltas.append(GrantDelta(None, state.debt - owed))
    return state.post("transfer", at, deltas, details, opened=opened, transaction_id=transaction_id)
