"""Books that were never stored: credits poured, pinned and checked in memory, by the same methods as in the ledger."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import uuid4

from credits.domain import burn_order, constants, hash_chain
from credits.domain.balance_state import BalanceState, Grant, GrantDelta, Hold, Transaction, TransactionDetails
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
    book: BalanceState,
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
    """Give ``amount`` credits; debt takes its part first."""
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
    repaid = min(book.debt, amount)
    draws = [GrantDelta(grant, amount - repaid)] if amount > repaid else []
    if repaid:
        draws.append(GrantDelta(None, repaid))
    # A rollover moves credits that are there already; poured from nothing it has to be called something else.
    book.post(
        kind or ("adjustment" if source == "rollover" else source), at, draws, TransactionDetails(), opened=[grant]
    )
    return grant


def spend(book: BalanceState, amount: int, *, at: datetime = NOON) -> Transaction:
    draws = burn_order.plan_deltas(amount, book.grants.values())
    return book.post("usage", at, [GrantDelta(grant, -taken) for grant, taken in draws], TransactionDetails())


def hold(book: BalanceState, amount: int, until: datetime, *, at: datetime = NOON) -> Hold:
    """Pin ``amount`` credits, in burn order, until they are released, captured, or the hold lapses."""
    draws = burn_order.plan_deltas(amount, book.grants.values())
    opened = Hold(
        id=uuid7(),
        amount=amount,
        created_at=at,
        expires_at=until,
        pins=[(grant.id, taken) for grant, taken in draws],
    )
    book.open_hold(opened)
    return opened


def summarize(transactions: Iterable[Transaction]) -> list[Any]:
    """What a list of transactions says, without the ids and hashes that chance made."""
    return [
        (said.type, said.timestamp, said.amount, [(part.amount, part.remaining_after) for part in said.entries])
        for said in transactions
    ]


def check_sums(book: BalanceState) -> None:
    """Every sum that must hold in a book which holds all the transactions it ever had."""
    grants = book.grants.values()
    entries = [part for recorded in book.transactions for part in recorded.entries]
    assert book.balance == sum(recorded.amount for recorded in book.transactions)
    assert book.balance == sum(grant.remaining for grant in grants) + book.held - book.debt
    assert book.held == sum(grant.held for grant in grants)
    assert book.debt == -sum(part.amount for part in entries if part.grant_id is None)
    assert book.available == sum(grant.remaining for grant in grants)
    assert book.debt == 0 or book.available == 0
    for grant in grants:
        assert grant.remaining >= 0
        assert grant.held == sum(amount for h in book.holds.values() for key, amount in h.pins if key == grant.id)
        assert sum(part.amount for part in entries if part.grant_id == grant.id) == grant.remaining + grant.held
        assert grant.remaining + grant.held <= grant.amount
    for recorded in book.transactions:
        _check_transaction(recorded)
    _check_chain(book)


def _check_transaction(recorded: Transaction) -> None:
    assert recorded.amount == sum(part.amount for part in recorded.entries)
    assert recorded.amount != 0 or recorded.type in MAY_BE_ZERO
    assert [part.position for part in recorded.entries] == list(range(len(recorded.entries)))
    assert len({part.grant_id for part in recorded.entries}) == len(recorded.entries)
    assert all(part.amount != 0 for part in recorded.entries)
    assert recorded.hash == hash_chain.transaction_hash(recorded)


def _check_chain(book: BalanceState) -> None:
    assert [recorded.sequence for recorded in book.transactions] == list(range(1, book.sequence + 1))
    for earlier, later in pairwise(book.transactions):
        assert later.previous_hash == earlier.hash
        assert later.timestamp >= earlier.timestamp
        assert later.balance_after == earlier.balance_after + later.amount
    assert book.head_hash == (book.transactions[-1].hash if book.transactions else hash_chain.GENESIS)
