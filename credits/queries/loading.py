"""Loading balances into memory: one statement reads the state of many balances and everything planned operations depend
on.

Reads and the engine share it, so that both apply the same due events to the same records. Rows and their JSON lists are
read by name. Nothing here writes or locks; the engine takes its locks in an earlier statement. Next:
``credits.domain.balance_state`` for what a state can do, ``credits.engine.locked_balance`` for the use under a lock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from credits.domain import burn_order, errors
from credits.domain.balance_state import BalanceState, OmittedGrants
from credits.domain.due_events import apply_due_events
from credits.domain.limits import Limit
from credits.domain.records import Grant, Hold, Price, PurchaseLeft
from credits.queries.transactions import extended_copies
from fluxori.core import clock
from fluxori.db import statements
from fluxori.identity.owner import Owner

_SQL = Path(__file__).parent / "sql"
_BALANCE_STATES = (_SQL / "balance_states.sql").read_text(encoding="utf-8")
_PURCHASES_LEFT = (_SQL / "purchases_left.sql").read_text(encoding="utf-8")
_BALANCE_STATE_AT = (_SQL / "balance_state_at.sql").read_text(encoding="utf-8")

# How many grants of a balance are loaded for its snapshot, and at first for an operation: few pay for one request.
FIRST_GRANTS = 64
# More grants than a balance can have.
_ALL_GRANTS = 2**62


class RememberedRequest(NamedTuple):
    """The stored result of a request with an idempotency key; ``result`` is JSON text."""

    fingerprint: bytes
    result: str
    transaction_id: UUID | None
    hold_id: UUID | None


@dataclass(frozen=True, slots=True)
class LoadedBalance:
    """A balance state, the remembered requests by (caller, key), and the prices of each feature in order of time."""

    state: BalanceState
    remembered: dict[tuple[UUID | None, str], RememberedRequest]
    prices: dict[str, list[Price]]


def load_balances(
    balance_ids: Iterable[UUID],
    *,
    at: datetime,
    earliest: datetime | None = None,
    hold_ids: Iterable[UUID | None] = (),
    grant_ids: Iterable[UUID | None] = (),
    member_ids: Iterable[UUID | None] = (),
    keys: Iterable[str] = (),
    caller_ids: Iterable[UUID | None] = (),
    features: Iterable[str] = (),
    grant_limit: int | None = None,
) -> list[LoadedBalance]:
    """Return the balances that exist, in order of id, without applying due events.

    A state has all live grants, the open holds due by ``at``, and the limits of the whole balance. Other open holds,
    empty grants and limits of members are loaded if named. Remembered requests are those with one of ``keys`` by one of
    ``caller_ids`` or without a caller. Prices are those in force from ``earliest`` (default ``at``) to ``at``, each
    instant replaced by the last change of the balance where that is later.

    With ``grant_limit`` a balance with more spendable grants has the first ones in burn order only, and those that due
    events or the named holds and grants may concern; see :class:`OmittedGrants`.
    """
    rows = statements.fetch(
        _BALANCE_STATES,
        {
            "balances": statements.array(balance_ids),
            "at": at,
            "earliest": earliest or at,
            "holds": statements.array(hold_ids),
            "grants": statements.array(grant_ids),
            "members": statements.array(member_ids),
            "keys": statements.array(keys),
            "callers": statements.array(caller_ids),
            "features": statements.array(features),
            "grant_limit": _ALL_GRANTS if grant_limit is None else grant_limit,
        },
    )
    # Read after the statement, and so after any wait for a lock.
    recorded_at = clock.now()
    loaded = [
        LoadedBalance(
            _balance_state(row, recorded_at),
            {(_uuid(r["caller_id"]), r["key"]): _remembered(r) for r in row["requests"] or ()},
            _prices_by_feature(row["prices"] or ()),
        )
        for row in rows
    ]
    states = [each.state for each in loaded]
    _load_purchases(states)
    _load_extensions(states)
    return loaded


def _load_purchases(states: Iterable[BalanceState]) -> None:
    """Load what is left of the purchases whose grants are in the states. Only debt makes it matter, and it is rare."""
    indebted = {state.id: state for state in states if state.debt and state.grants}
    if not indebted:
        return
    rows = statements.fetch(
        _PURCHASES_LEFT,
        {
            "balances": statements.array(indebted),
            "sequences": [state.sequence for state in indebted.values()],
            "grants": statements.array(grant for state in indebted.values() for grant in state.grants),
        },
    )
    purchases: dict[UUID, PurchaseLeft] = {}
    for row in rows:
        purchase = purchases.setdefault(row["purchase_id"], PurchaseLeft(max(row["amount"], 0)))
        indebted[row["balance_id"]].purchases[row["grant_id"]] = purchase


def _load_extensions(states: Iterable[BalanceState], *, at: datetime | None = None) -> None:
    """Load the extensions of grants to which credits of a hold may come back, as of ``at`` or now.

    An extension leaves only pinned credits on a grant, so most holds need no statement.
    """
    needed: dict[UUID, BalanceState] = {}
    for state in states:
        for hold in state.holds.values():
            pinned = (state.grants[grant_id] for grant_id, _ in hold.pins)
            needed |= {grant.id: state for grant in pinned if grant.expires_at is not None and grant.remaining == 0}
    if not needed:
        return
    balance_ids = {state.id for state in needed.values()}
    for grant_id, extension in extended_copies(needed, balance_ids=balance_ids, at=at).items():
        needed[grant_id].extensions[grant_id] = extension


def load_states(balance_ids: Iterable[UUID], *, at: datetime, **needs: Any) -> dict[UUID, BalanceState]:
    """Return the states of these balances by id, with the due events of each applied up to ``at`` in memory.

    ``needs`` are arguments of :func:`load_balances`.
    """
    states = {loaded.state.id: loaded.state for loaded in load_balances(balance_ids, at=at, **needs)}
    for state in states.values():
        apply_due_events(state, max(at, state.last_at))
    return states


def load_settled_balance(owner: Owner, *, at: datetime, **needs: Any) -> BalanceState:
    """Return the state of the owner's balance with everything due by ``at`` applied in memory.

    ``needs`` are arguments of :func:`load_balances`.

    :raises BalanceNotFoundError: the owner has no balance
    """
    state = load_states([owner.id], at=at, **needs).get(owner.id)
    return require_state(owner, state)


def load_past_balance(owner: Owner, *, at: datetime) -> BalanceState:
    """Return the state that the balance had at the past instant ``at``; every count is zero before it existed.

    :raises BalanceNotFoundError: the owner has no balance
    """
    rows = statements.fetch(_BALANCE_STATE_AT, {"balance": owner.id, "at": at})
    state = require_state(owner, _balance_state(rows[0], recorded_at=at) if rows else None)
    _load_purchases([state])
    _load_extensions([state], at=at)
    apply_due_events(state, max(at, state.last_at))
    return state


def require_state(owner: Owner, state: BalanceState | None) -> BalanceState:
    """Return ``state`` if it is the balance of ``owner``; a user and an organization never share an id.

    :raises BalanceNotFoundError: there is no such balance
    """
    if state is None or (state.user_id if owner.kind == "user" else state.organization_id) != owner.id:
        raise errors.BalanceNotFoundError()
    return state


def _balance_state(row: dict[str, Any], recorded_at: datetime) -> BalanceState:
    grants = {grant.id: grant for grant in map(_grant, row["grants"] or ())}
    return BalanceState(
        id=row["id"],
        user_id=row["user_id"],
        organization_id=row["organization_id"],
        balance=row["balance"],
        held=row["held"],
        debt=row["debt"],
        sequence=row["sequence"],
        version=row["version"],
        head_hash=bytes(row["head_hash"]),
        last_at=row["last_at"],
        suspended_at=row["suspended_at"],
        grants=grants,
        omitted=_omitted_grants(row, grants),
        holds={hold.id: hold for hold in map(_hold, row["holds"] or ())},
        recorded_at=recorded_at,
        limits={limit.id: limit for limit in map(_limit, row["limits"] or ())},
        suspension_actor_id=row["suspension_actor_id"],
        suspension_reason=row["suspension_reason"],
    )


def _omitted_grants(row: dict[str, Any], grants: dict[UUID, Grant]) -> OmittedGrants | None:
    final = row.get("final_grant_id")
    if final is None:
        return None
    expiry = row["omitted_next_expiry"]
    return OmittedGrants(
        after=burn_order.position(grants[final]),
        by_source=row["omitted_by_source"] or {},
        next_expiry=expiry and (expiry[0], datetime.fromisoformat(expiry[1])),
    )


def _grant(row: dict[str, Any]) -> Grant:
    return Grant(
        id=UUID(row["id"]),
        source=row["source"],
        amount=row["amount"],
        remaining=row["remaining"],
        held=row["held"],
        priority=row["priority"],
        effective_at=datetime.fromisoformat(row["effective_at"]),
        expires_at=_timestamp(row["expires_at"]),
        voided_at=_timestamp(row["voided_at"]),
        roll_cap=row["roll_cap"],
        roll_until=_timestamp(row["roll_until"]),
        feature_id=row["feature_id"],
        unit_price=None if row["unit_price"] is None else Decimal(row["unit_price"]),
        transaction_id=UUID(row["transaction_id"]),
    )


def _hold(row: dict[str, Any]) -> Hold:
    return Hold(
        id=UUID(row["id"]),
        amount=row["amount"],
        created_at=datetime.fromisoformat(row["created_at"]),
        expires_at=datetime.fromisoformat(row["expires_at"]),
        pins=[(UUID(pin["grant_id"]), pin["amount"]) for pin in row["pins"]],
        feature_id=row["feature_id"],
        price_id=_uuid(row["price_id"]),
        quantity=row["quantity"],
        description=row["description"],
        reference_id=row["reference_id"],
        metadata=row["metadata"],
        actor_id=_uuid(row["actor_id"]),
        member_id=_uuid(row["member_id"]),
        request_id=row["request_id"],
    )


def _limit(row: dict[str, Any]) -> Limit:
    return Limit(
        id=UUID(row["id"]),
        member_id=_uuid(row["member_id"]),
        period=row["period"],
        amount=row["amount"],
        window_starts_at=datetime.fromisoformat(row["window_starts_at"]),
        used=row["used"],
        set_by_id=_uuid(row["set_by_id"]),
        set_at=datetime.fromisoformat(row["set_at"]),
    )


def _remembered(row: dict[str, Any]) -> RememberedRequest:
    return RememberedRequest(
        bytes.fromhex(row["fingerprint"]), row["result"], _uuid(row["transaction_id"]), _uuid(row["hold_id"])
    )


def _prices_by_feature(rows: Sequence[dict[str, Any]]) -> dict[str, list[Price]]:
    prices: dict[str, list[Price]] = {}
    for row in rows:
        price = Price(UUID(row["id"]), row["credits"], datetime.fromisoformat(row["effective_from"]))
        prices.setdefault(row["feature_id"], []).append(price)
    return prices


def _timestamp(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def _uuid(value: str | None) -> UUID | None:
    return UUID(value) if value else None
