"""Balance states in memory, for tests of ``credits.domain`` without a database."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import uuid4

from credits.domain import burn_order, constants, hash_chain
from credits.domain.balance_state import BalanceState
from credits.domain.records import Grant, GrantDelta, Hold, Transaction, TransactionDetails
from fluxori.core.ids import uuid7
from tests.support.times import NOON

MAY_BE_ZERO = {"rollover", "reversal", "adjustment"}


def empty_state(at: datetime = NOON) -> BalanceState:
    owner = uuid4()
    return BalanceState(
        id=owner,
        user_id=owner,
        organization_id=None,
        balance=0,
        held=0,
        debt=0,
        sequence=0,
        version=0,
        head_hash=hash_chain.GENESIS,
        last_at=at,
        suspended_at=None,
        grants={},
        holds={},
        recorded_at=at,
    )


def add_grant(
    state: BalanceState,
    amount: int,
    expires_at: datetime | None = None,
    *,
    source: str = "purchase",
    kind: str | None = None,
    at: datetime = NOON,
    priority: int = constants.DEFAULT_PRIORITY,
    roll_cap: int | None = None,
    roll_until: datetime | None = None,
    unit_price: Decimal | None = None,
) -> Grant:
    """Add a grant of ``amount`` credits. Debt is repaid from it first."""
    grant = Grant(
        id=uuid7(),
        source=source,
        amount=amount,
        remaining=0,
        held=0,
        priority=priority,
        effective_at=at,
        expires_at=expires_at,
        roll_cap=roll_cap,
        roll_until=roll_until,
        unit_price=unit_price,
    )
    repaid = min(state.debt, amount)
    deltas = [GrantDelta(grant, amount - repaid)] if amount > repaid else []
    if repaid:
        deltas.append(GrantDelta(None, repaid))
    # A rollover only moves existing credits, so a grant of new credits is recorded as an adjustment.
    state.post(
        kind or ("adjustment" if source == "rollover" else source), at, deltas, TransactionDetails(), opened=[grant]
    )
    return grant


def spend(state: BalanceState, amount: int, *, at: datetime = NOON) -> Transaction:
    deltas = burn_order.plan_payments(amount, state.grants.values())
    return state.post("usage", at, [GrantDelta(grant, -taken) for grant, taken in deltas], TransactionDetails())


def hold(state: BalanceState, amount: int, until: datetime, *, at: datetime = NOON) -> Hold:
    """Place a hold of ``amount`` credits, pinned in burn order, that lapses at ``until``."""
    deltas = burn_order.plan_payments(amount, state.grants.values())
    opened = Hold(
        id=uuid7(),
        amount=amount,
        created_at=at,
        expires_at=until,
        pins=[(grant.id, taken) for grant, taken in deltas],
    )
    state.open_hold(opened)
    return opened


def summarize(transactions: Iterable[Transaction]) -> list[Any]:
    """Return the transactions without their ids and hashes, so that two lists can be compared."""
    return [
        (row.type, row.timestamp, row.amount, [(entry.amount, entry.remaining_after) for entry in row.entries])
        for row in transactions
    ]


def check_sums(state: BalanceState) -> None:
    """Check every invariant of a state that contains all its transactions since it was created."""
    grants = state.grants.values()
    entries = [part for transaction in state.transactions for part in transaction.entries]
    assert state.balance == sum(transaction.amount for transaction in state.transactions)
    assert state.balance == sum(grant.remaining for grant in grants) + state.held - state.debt
    assert state.held == sum(grant.held for grant in grants)
    assert state.debt == -sum(part.amount for part in entries if part.grant_id is None)
    assert state.available == sum(grant.remaining for grant in grants)
    assert state.debt == 0 or state.available == 0
    for grant in grants:
        assert grant.remaining >= 0
        assert grant.held == sum(amount for h in state.holds.values() for key, amount in h.pins if key == grant.id)
        assert sum(part.amount for part in entries if part.grant_id == grant.id) == grant.remaining + grant.held
        assert grant.remaining + grant.held <= grant.amount
    for transaction in state.transactions:
        _check_transaction(transaction)
    _check_chain(state)


def _check_transaction(transaction: Transaction) -> None:
    assert transaction.amount == sum(part.amount for part in transaction.entries)
    assert transaction.amount != 0 or transaction.type in MAY_BE_ZERO
    assert [part.position for part in transaction.entries] == list(range(len(transaction.entries)))
    assert len({part.grant_id for part in transaction.entries}) == len(transaction.entries)
    assert all(part.amount != 0 for part in transaction.entries)
    assert transaction.hash == hash_chain.transaction_hash(transaction)


def _check_chain(state: BalanceState) -> None:
    assert [transaction.sequence for transaction in state.transactions] == list(range(1, state.sequence + 1))
    for earlier, later in pairwise(state.transactions):
        assert later.previous_hash == earlier.hash
        assert later.timestamp >= earlier.timestamp
        assert later.balance_after == earlier.balance_after + later.amount
    assert state.head_hash == (state.transactions[-1].hash if state.transactions else hash_chain.GENESIS)
