"""One balance opened in memory: its live grants, its open holds, its limits, and the movements not yet written.

Pure: a book is loaded under the balance's lock (to write) or from one snapshot (to read), changed here, and written
set-wise by ``credits.operations``. Every change of a grant's credits goes through :meth:`Book.post`, which keeps the
sums right and numbers, dates and hashes the transaction. Credits are whole numbers throughout.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from credits.domain import burn_order, hash_chain
from credits.domain.limits import Limit
from fluxori.core.ids import uuid7


@dataclass(slots=True)
class Grant:
    """Credits given at once, spendable in ``[effective_at, expires_at)``; see ``credits.models.CreditGrant``."""

    id: UUID
    source: str
    amount: int
    remaining: int
    held: int
    priority: int
    effective_at: datetime
    expires_at: datetime | None
    voided_at: datetime | None = None
    roll_cap: int | None = None
    roll_until: datetime | None = None
    unit_price: Decimal | None = None
    feature_id: str | None = None
    parent_id: UUID | None = None
    transaction_id: UUID | None = None

    def expired(self, at: datetime) -> bool:
        """Whether the grant may no longer be spent at ``at``: from the instant it expires on."""
        return self.expires_at is not None and self.expires_at <= at


@dataclass(slots=True)
class Hold:
    """Credits set aside on concrete grants; ``pins`` are (grant id, credits) in burn order."""

    id: UUID
    amount: int
    created_at: datetime
    expires_at: datetime
    pins: list[tuple[UUID, int]]
    status: str = "open"
    captured: int = 0
    closed_at: datetime | None = None
    feature_id: str | None = None
    price_id: UUID | None = None
    quantity: int | None = None
    description: str = ""
    reference_id: str = ""
    metadata: str | None = None
    actor_id: UUID | None = None
    member_id: UUID | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class GrantDelta:
    """A signed share of a transaction. Without a grant it falls on debt."""

    grant: Grant | None
    amount: int


@dataclass(slots=True)
class Entry:
    """The share of one transaction that fell on one grant, or on debt."""

    id: UUID
    grant_id: UUID | None
    position: int
    amount: int
    remaining_after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionDetails:
    """What a transaction says about itself, besides its numbers. Ids and words only, never names or e-mails."""

    description: str = ""
    reference_id: str = ""
    feature_id: str | None = None
    price_id: UUID | None = None
    quantity: int | None = None
    actor_id: UUID | None = None
    member_id: UUID | None = None
    hold_id: UUID | None = None
    reverses_id: UUID | None = None
    idempotency_key: str | None = None
    reason: str = ""
    request_id: str = ""
    metadata: str | None = None


@dataclass(slots=True)
class Transaction:
    """One movement of one balance, as it will be written; see ``credits.models.CreditTransaction``."""

    id: UUID
    balance_id: UUID
    sequence: int
    type: str
    amount: int
    balance_after: int
    timestamp: datetime
    recorded_at: datetime
    details: TransactionDetails
    entries: list[Entry]
    opened: list[Grant]
    previous_hash: bytes
    hash_version: int = hash_chain.VERSION
    hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Price:
    """What one unit of a feature costs, in whole credits, by the price of that id."""

    id: UUID
    credits: int


@dataclass(frozen=True, slots=True)
class BalanceSnapshot:
    """A balance as it stood at one instant. Credits are whole; ``available`` is never below zero."""

    id: UUID
    user_id: UUID | None
    organization_id: UUID | None
    balance: int
    held: int
    available: int
    debt: int
    last_updated: datetime
    next_expiry: tuple[int, datetime] | None
    sequence: int
    version: int
    suspended_at: datetime | None = None


@dataclass(slots=True)
class BalanceState:
    """The balance row, the live grants, holds and limits that matter now; and what has been changed since loading."""

    id: UUID
    user_id: UUID | None
    organization_id: UUID | None
    balance: int
    held: int
    debt: int
    sequence: int
    version: int
    head_hash: bytes
    last_at: datetime
    suspended_at: datetime | None
    grants: dict[UUID, Grant]
    holds: dict[UUID, Hold]
    recorded_at: datetime
    limits: dict[UUID, Limit] = field(default_factory=dict)
    suspension_actor_id: UUID | None = None
    suspension_reason: str = ""
    transactions: list[Transaction] = field(default_factory=list)
    opened_grants: list[Grant] = field(default_factory=list)
    changed_grants: set[UUID] = field(default_factory=set)
    opened_holds: list[Hold] = field(default_factory=list)
    changed_holds: dict[UUID, Hold] = field(default_factory=dict)
    changed_limits: dict[UUID, Limit] = field(default_factory=dict)

    @property
    def available(self) -> int:
        """What may be spent, once the book is settled."""
        return self.balance - self.held + self.debt

    def post(
        self,
        kind: str,
        at: datetime,
        draws: Iterable[GrantDelta],
        details: TransactionDetails,
        opened: Sequence[Grant] = (),
    ) -> Transaction:
        """Record one movement: apply each draw to its grant or to the debt, number, date and chain it.

        ``opened`` are the grants this transaction creates, with nothing remaining yet; their credits come as draws.
        """
        self.last_at = max(self.last_at, at)
        self.sequence += 1
        recorded = Transaction(
            id=uuid7(),
            balance_id=self.id,
            sequence=self.sequence,
            type=kind,
            amount=0,
            balance_after=0,
            timestamp=self.last_at,
            recorded_at=self.recorded_at,
            details=details,
            entries=[],
            opened=list(opened),
            previous_hash=self.head_hash,
        )
        for grant in opened:
            grant.transaction_id = recorded.id
            self.grants[grant.id] = grant
            self.opened_grants.append(grant)
        for position, draw in enumerate(draws):
            recorded.entries.append(self._enter(position, draw))
            recorded.amount += draw.amount
        self.balance += recorded.amount
        recorded.balance_after = self.balance
        recorded.hash = self.head_hash = hash_chain.transaction_hash(recorded)
        self.transactions.append(recorded)
        if kind == "usage":
            self.count(-recorded.amount, details.member_id, self.last_at)
        return recorded

    def _enter(self, position: int, draw: GrantDelta) -> Entry:
        grant = draw.grant
        if grant is None:
            self.debt -= draw.amount
            return Entry(uuid7(), None, position, draw.amount, None)
        grant.remaining += draw.amount
        self.changed_grants.add(grant.id)
        assert grant.remaining >= 0
        return Entry(uuid7(), grant.id, position, draw.amount, grant.remaining)

    def count(self, amount: int, member_id: UUID | None, at: datetime) -> None:
        """Count against the limits what ``member_id`` used at ``at``, or negative what came back of it."""
        for limit in self.limits.values():
            if limit.counts(member_id) and limit.count(amount, at):
                self.changed_limits[limit.id] = limit

    def pin(self, grant: Grant, amount: int) -> None:
        """Set ``amount`` of what the grant has remaining aside."""
        assert 0 <= amount <= grant.remaining
        self.unpin(grant, -amount)

    def unpin(self, grant: Grant, amount: int) -> None:
        """Give ``amount`` pinned credits back to the grant's remaining."""
        grant.held -= amount
        grant.remaining += amount
        self.held -= amount
        self.changed_grants.add(grant.id)
        assert grant.held >= 0

    def open_hold(self, hold: Hold) -> None:
        """Pin a new hold's credits on their grants."""
        for grant_id, amount in hold.pins:
            self.pin(self.grants[grant_id], amount)
        self.holds[hold.id] = hold
        self.opened_holds.append(hold)
        self.last_at = max(self.last_at, hold.created_at)
        self.count(hold.amount, hold.member_id, hold.created_at)

    def close_hold(self, hold: Hold, status: str, at: datetime) -> None:
        """End the hold: what it pinned is back with its grants, and counts no longer."""
        for grant_id, amount in hold.pins:
            self.unpin(self.grants[grant_id], amount)
        hold.status = status
        hold.closed_at = at
        self.last_at = max(self.last_at, at)
        del self.holds[hold.id]
        self.changed_holds[hold.id] = hold
        self.count(-hold.amount, hold.member_id, hold.created_at)

    def move_expiry(self, hold: Hold, expires_at: datetime, at: datetime) -> None:
        """Let an open hold lapse at another instant."""
        hold.expires_at = expires_at
        self.last_at = max(self.last_at, at)
        self.changed_holds[hold.id] = hold

    def void(self, grant: Grant, at: datetime) -> None:
        """Mark the grant as voided: nothing that comes back to it can be spent again."""
        grant.voided_at = at
        self.last_at = max(self.last_at, at)
        self.changed_grants.add(grant.id)

    def set_limit(self, limit: Limit, at: datetime) -> None:
        """Put a limit in force, new or changed."""
        self.limits[limit.id] = limit
        self._change_limit(limit, at)

    def remove_limit(self, limit: Limit, at: datetime) -> None:
        """End a limit; what it counted stays with its row."""
        del self.limits[limit.id]
        limit.removed_at = at
        self._change_limit(limit, at)

    def _change_limit(self, limit: Limit, at: datetime) -> None:
        self.last_at = max(self.last_at, at)
        self.changed_limits[limit.id] = limit

    def spendable(self) -> list[Grant]:
        """Return the grants with something remaining, in burn order."""
        return burn_order.in_burn_order(grant for grant in self.grants.values() if grant.remaining > 0)

    def persisted_ancestor(self, grant: Grant) -> Grant:
        """Return the grant in whose row the credits stand as long as what this book has made of them is not written.

        That is the grant itself or, where it was opened here by rolling over, the one it rolled over from.
        """
        opened = {made.id for made in self.opened_grants}
        while grant.id in opened and grant.parent_id is not None:
            grant = self.grants[grant.parent_id]
        return grant

    def snapshot(self) -> BalanceSnapshot:
        """Return the balance as the book has it now; it must be settled."""
        return BalanceSnapshot(
            id=self.id,
            user_id=self.user_id,
            organization_id=self.organization_id,
            balance=self.balance,
            held=self.held,
            available=self.available,
            debt=self.debt,
            last_updated=self.last_at,
            next_expiry=self._next_expiry(),
            sequence=self.sequence,
            version=self.version,
            suspended_at=self.suspended_at,
        )

    def _next_expiry(self) -> tuple[int, datetime] | None:
        losses: dict[datetime, int] = {}
        for grant in self.grants.values():
            lost = grant.remaining - min(grant.remaining, grant.roll_cap or 0)
            if grant.expires_at is not None and lost > 0:
                losses[grant.expires_at] = losses.get(grant.expires_at, 0) + lost
        if not losses:
            return None
        soonest = min(losses)
        return losses[soonest], soonest
