"""The state of one balance in memory: its live grants, due or named holds, and limits, and the changes not yet written.

The engine loads it under the lock of the balance (to write) or from one snapshot (to read). Every change of a grant's
credits goes through :meth:`BalanceState.post`, which keeps the sums right and numbers, dates and hashes the
transaction. The module imports no Django and reads no database; only the ids depend on the clock and on
randomness. Next: ``due_events.py`` for what happens with time,
``credits.engine`` for locks and rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from credits.domain import burn_order, forecasting, hash_chain
from credits.domain.limits import Limit
from credits.domain.records import (
    BalanceSnapshot,
    Entry,
    Grant,
    GrantDelta,
    Hold,
    PurchaseLeft,
    Transaction,
    TransactionDetails,
)
from fluxori.core.ids import uuid7


class GrantsNotLoadedError(Exception):
    """The loaded grants do not cover a payment, though the balance does: more of them must be loaded."""


@dataclass(frozen=True, slots=True)
class OmittedGrants:
    """The live grants that are not loaded: all are spendable and come ``after`` a position in the burn order.

    Time and other requests do not change them as long as the state is locked: none is due, rolls over or is pinned by a
    loaded hold. ``next_expiry`` is how many of their credits expire first, and when.
    """

    after: burn_order.Position
    by_source: dict[str, int]
    next_expiry: tuple[int, datetime] | None


@dataclass(slots=True)
class BalanceState:
    """The balance row, its live grants, the loaded holds and limits, and all changes since loading."""

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
    # None: all live grants are loaded.
    omitted: OmittedGrants | None = None
    # Of grants of purchases and their copies; loaded if there is debt. Grants of one purchase share the object.
    purchases: dict[UUID, PurchaseLeft] = field(default_factory=dict)
    # The copy that lasts longest, of grants that were extended; loaded if credits may come back to them.
    extensions: dict[UUID, Grant] = field(default_factory=dict)
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
        """The credits that can be spent, provided that due events have been applied."""
        return self.balance - self.held + self.debt

    def post(
        self,
        kind: str,
        at: datetime,
        deltas: Iterable[GrantDelta],
        details: TransactionDetails,
        opened: Sequence[Grant] = (),
        *,
        transaction_id: UUID | None = None,
    ) -> Transaction:
        """Record one transaction: apply each delta to its grant or to the debt, then number, date and hash it.

        ``opened`` are the grants that the transaction creates. They start with nothing remaining; deltas fill them.
        ``transaction_id`` is for a transaction whose id another one refers to.
        """
        self.last_at = max(self.last_at, at)
        self.sequence += 1
        transaction = Transaction(
            id=transaction_id or uuid7(),
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
            grant.transaction_id = transaction.id
            self.grants[grant.id] = grant
            self.opened_grants.append(grant)
        for position, delta in enumerate(deltas):
            transaction.entries.append(self._apply_delta(position, delta))
            transaction.amount += delta.amount
        self.balance += transaction.amount
        transaction.balance_after = self.balance
        transaction.hash = self.head_hash = hash_chain.transaction_hash(transaction)
        self.transactions.append(transaction)
        if kind == "usage":
            self.count_toward_limits(-transaction.amount, details.member_id, self.last_at)
        return transaction

    def open_grant(self, grant: Grant, at: datetime, details: TransactionDetails) -> Transaction:
        """Record a grant of new credits: they repay debt first, the rest remains."""
        repaid = min(self.debt, grant.amount)
        deltas = [GrantDelta(grant, grant.amount - repaid)] if grant.amount > repaid else []
        if repaid:
            deltas.append(GrantDelta(None, repaid))
        return self.post(grant.source, at, deltas, details, opened=[grant])

    def _apply_delta(self, position: int, delta: GrantDelta) -> Entry:
        grant = delta.grant
        if grant is None:
            self.debt -= delta.amount
            return Entry(uuid7(), None, position, delta.amount, None)
        grant.remaining += delta.amount
        self.changed_grants.add(grant.id)
        assert grant.remaining >= 0
        return Entry(uuid7(), grant.id, position, delta.amount, grant.remaining)

    def count_toward_limits(self, amount: int, member_id: UUID | None, at: datetime) -> None:
        """Count ``amount`` credits that ``member_id`` used at ``at`` toward the limits.

        ``amount`` is negative for credits given back.
        """
        for limit in self.limits.values():
            if limit.counts(member_id) and limit.count(amount, at):
                self.changed_limits[limit.id] = limit

    def pin(self, grant: Grant, amount: int) -> None:
        """Move ``amount`` credits of the grant from remaining to held."""
        assert 0 <= amount <= grant.remaining
        self.unpin(grant, -amount)

    def unpin(self, grant: Grant, amount: int) -> None:
        """Move ``amount`` pinned credits of the grant back to remaining."""
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
        self.count_toward_limits(hold.amount, hold.member_id, hold.created_at)

    def close_hold(self, hold: Hold, status: str, at: datetime) -> None:
        """Close the hold: its pins return to their grants, and it does not count toward limits any more."""
        for grant_id, amount in hold.pins:
            self.unpin(self.grants[grant_id], amount)
        hold.status = status
        hold.closed_at = at
        self.last_at = max(self.last_at, at)
        del self.holds[hold.id]
        self.changed_holds[hold.id] = hold
        self.count_toward_limits(-hold.amount, hold.member_id, hold.created_at)

    def move_expiry(self, hold: Hold, expires_at: datetime, at: datetime) -> None:
        """Change the instant at which an open hold lapses."""
        hold.expires_at = expires_at
        self.last_at = max(self.last_at, at)
        self.changed_holds[hold.id] = hold

    def void(self, grant: Grant, at: datetime) -> None:
        """Mark the grant as voided: credits that return to it later cannot be spent."""
        grant.voided_at = at
        self.last_at = max(self.last_at, at)
        self.changed_grants.add(grant.id)

    def set_limit(self, limit: Limit, at: datetime) -> None:
        """Put a new or changed limit into force."""
        self.limits[limit.id] = limit
        self._change_limit(limit, at)

    def remove_limit(self, limit: Limit, at: datetime) -> None:
        """Remove a limit from force. Its row keeps the last count."""
        del self.limits[limit.id]
        limit.removed_at = at
        self._change_limit(limit, at)

    def _change_limit(self, limit: Limit, at: datetime) -> None:
        self.last_at = max(self.last_at, at)
        self.changed_limits[limit.id] = limit

    def payments(self, amount: int) -> list[tuple[Grant, int]]:
        """Return the (grant, credits) pairs that pay ``amount`` whole credits of what is available, in burn order.

        :raises GrantsNotLoadedError: grants that are not loaded would have to pay a part
        """
        grants: Iterable[Grant] = self.grants.values()
        if self.omitted is not None:
            grants = [grant for grant in grants if burn_order.position(grant) <= self.omitted.after]
        payments = burn_order.plan_payments(amount, grants)
        if self.omitted is not None and sum(paid for _, paid in payments) < amount:
            raise GrantsNotLoadedError
        return payments

    def spendable(self) -> list[Grant]:
        """Return the loaded grants with something remaining, in burn order."""
        return burn_order.in_burn_order(grant for grant in self.grants.values() if grant.remaining > 0)

    def persisted_ancestor(self, grant: Grant) -> Grant:
        """Return the stored grant whose row holds these credits until the changes of this state are written.

        It is the grant itself or, if due events created the grant, the stored grant that its credits come from.
        """
        unwritten = {grant.id for grant in self.opened_grants}
        while grant.id in unwritten and grant.parent_id is not None:
            grant = self.grants[grant.parent_id]
        return grant

    def snapshot(self) -> BalanceSnapshot:
        """Return the balance as it is now. Due events must have been applied."""
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
            by_source=self._by_source(),
        )

    def _next_expiry(self) -> tuple[int, datetime] | None:
        loaded = forecasting.next_loss(self.grants.values())
        omitted = self.omitted.next_expiry if self.omitted else None
        if loaded is None or omitted is None:
            return loaded or omitted
        if loaded[1] == omitted[1]:
            return loaded[0] + omitted[0], loaded[1]
        return min(loaded, omitted, key=lambda loss: loss[1])

    def _by_source(self) -> dict[str, int]:
        result = dict(self.omitted.by_source) if self.omitted else {}
        for grant in self.grants.values():
            if grant.remaining > 0:
                result[grant.source] = result.get(grant.source, 0) + grant.remaining
        return result
