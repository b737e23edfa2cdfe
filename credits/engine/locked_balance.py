"""Locked balances: lock the balance rows, load their states, let the caller plan, and write every change when the block
ends.

There are two ways to change the ledger: ``lock_balance`` and ``lock_balances`` for one operation, and ``BalanceLoader``
with ``flush_on_exit`` for a group of requests. The order is always the same: lock, load, plan, write, in one
transaction of the caller's operation; planning reads the tier facts for its first result. The lock is ``SELECT ... FOR
NO KEY UPDATE`` on the balance row, taken in order of id; everything that depends on it is read in a later statement. A
planned operation that raises an error writes nothing. Next: ``write.py`` for the write, ``idempotency.py`` for requests
and stored results.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from credits import tier_registry
from credits.arguments import resolve_timestamp
from credits.domain import errors
from credits.domain.balance_state import BalanceState
from credits.domain.due_events import apply_due_events, next_due
from credits.domain.records import BalanceSnapshot, Hold, Price, Transaction, TransactionDetails
from credits.engine.idempotency import RequestIdentity, deserialize_result, serialize_result
from credits.engine.rows import Row, add_rows
from credits.engine.write import empty_rows, write_rows
from credits.models import CreditBalance
from credits.queries.loading import RememberedRequest, load_balances, require_state
from credits.tier_registry import TierFacts
from fluxori.core import metrics
from fluxori.core.errors import DomainError
from fluxori.core.ids import uuid7
from fluxori.identity import queries as identity
from fluxori.identity.owner import Owner


@dataclass(slots=True, kw_only=True)
class OperationResult:
    """The result of one request inside the engine: records planned now, or the ids of records written before.

    ``snapshot`` is the balance right after the request. ``extras`` are facts of one kind of operation, ready for JSON.
    ``results.py`` makes the public result of it.
    """

    balance_id: UUID
    snapshot: BalanceSnapshot
    tier_facts: TierFacts
    extras: dict[str, Any] = field(default_factory=dict)
    transaction: Transaction | None = None
    hold: Hold | None = None
    transaction_id: UUID | None = None
    hold_id: UUID | None = None
    hold_state: dict[str, Any] | None = None
    replayed: bool = False


@dataclass(slots=True)
class GroupTierFacts:
    """The tier facts of the balances of one group, read at most once, when the first result needs them.

    They are read as of ``earliest``, the first instant of the group. Each result gets the facts of its own instant.
    """

    balance_ids: Collection[UUID]
    earliest: datetime
    _facts: dict[UUID, TierFacts] | None = None

    def of(self, balance_id: UUID, *, at: datetime) -> TierFacts:
        """Return the facts of one balance of the group at ``at``."""
        if self._facts is None:
            self._facts = tier_registry.tier_facts(self.balance_ids, at=self.earliest)
        return self._facts[balance_id].as_of(at)


@dataclass(slots=True)
class LockedBalance:
    """One locked balance for planning.

    ``at`` is the effective instant: due events have been applied up to it. That of a loaded balance is its last change.
    """

    state: BalanceState
    tier_facts: GroupTierFacts
    remembered: dict[tuple[UUID | None, str], RememberedRequest] = field(default_factory=dict)
    prices: dict[str, list[Price]] = field(default_factory=dict)
    request_rows: list[Row] = field(default_factory=list)
    is_changed: bool = False
    at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.at = self.state.last_at

    def advance_to(self, at: datetime) -> None:
        """Apply due events up to ``at``, or up to the last change if that is later: timestamps never decrease."""
        self.at = max(at, self.state.last_at)
        apply_due_events(self.state, self.at)

    def current_price(self, feature: str) -> Price | None:
        """Return the price of a feature at the effective instant, or None."""
        in_force = [price for price in self.prices.get(feature, ()) if price.effective_from <= self.at]
        return in_force[-1] if in_force else None

    def is_remembered(self, request: RequestIdentity) -> bool:
        """Return whether the key of the request was used before."""
        return request.key is not None and (request.caller, request.key) in self.remembered

    def find_result(self, request: RequestIdentity) -> OperationResult | None:
        """Return the stored result of the same request, or None for a new request.

        :raises IdempotencyKeyReusedError: the key was used for a different request of this caller
        """
        if request.key is None or (remembered := self.remembered.get((request.caller, request.key))) is None:
            return None
        if remembered.fingerprint != request.fingerprint:
            raise errors.IdempotencyKeyReusedError()
        stored = deserialize_result(remembered.result)
        return OperationResult(
            balance_id=self.state.id,
            snapshot=stored.snapshot,
            tier_facts=stored.tier_facts,
            extras=stored.extras,
            transaction_id=remembered.transaction_id,
            hold_id=remembered.hold_id,
            hold_state=stored.hold_state,
            replayed=True,
        )

    def attempt(
        self, request: RequestIdentity, at: datetime, apply: Callable[["LockedBalance"], OperationResult]
    ) -> OperationResult | DomainError:
        """Return the stored result, the result of ``apply`` at ``at``, or its error. An error writes nothing.

        Due events that were applied before the error may stay in memory: they are true at every later instant, and they
        are written only together with a change.
        """
        state_before = self.state
        try:
            if (previous := self.find_result(request)) is not None:
                return previous
            if self.is_changed and next_due(self.state, at) is not None:
                # Earlier requests will be written: an error must not add the events that are due only at its instant.
                self.state = deepcopy(self.state)
            self.advance_to(at)
            return apply(self)
        except DomainError as error:
            self.state = state_before
            return error

    def record(
        self,
        request: RequestIdentity,
        *,
        transaction: Transaction | None = None,
        transaction_id: UUID | None = None,
        hold: Hold | None = None,
        tier_facts: TierFacts | None = None,
        extras: dict[str, Any] | None = None,
    ) -> OperationResult:
        """Return the result of a change, and have it written when the block ends, with the request's key.

        The transaction was planned on this balance, or is an earlier one named by its id. ``tier_facts`` replace those
        of the registry, for an operation that changes the tier or whose result does not contain them; otherwise the
        first result of a group reads the facts of all its balances.
        """
        self.mark_changed()
        result = OperationResult(
            balance_id=self.state.id,
            snapshot=self.state.snapshot(),
            tier_facts=tier_facts or self.tier_facts.of(self.state.id, at=self.at),
            extras=extras or {},
            transaction=transaction,
            hold=hold,
            transaction_id=transaction.id if transaction else transaction_id,
            hold_id=hold.id if hold else None,
        )
        if request.key is not None:
            self._remember(request, result)
        return result

    def record_no_change(
        self,
        request: RequestIdentity,
        *,
        transaction_id: UUID | None = None,
        tier_facts: TierFacts | None = None,
        extras: dict[str, Any] | None = None,
    ) -> OperationResult:
        """Return a result that changes nothing, perhaps with an earlier transaction.

        Only a key is written, if there is one.
        """
        if request.key is not None:
            return self.record(request, transaction_id=transaction_id, tier_facts=tier_facts, extras=extras)
        return OperationResult(
            balance_id=self.state.id,
            snapshot=self.state.snapshot(),
            tier_facts=tier_facts or self.tier_facts.of(self.state.id, at=self.at),
            extras=extras or {},
            transaction_id=transaction_id,
        )

    def _remember(self, request: RequestIdentity, result: OperationResult) -> None:
        assert request.key is not None
        serialized = serialize_result(result.snapshot, result.tier_facts, result.extras, result.hold)
        self.request_rows.append(
            {
                "id": uuid7(),
                "balance_id": self.state.id,
                "caller_id": request.caller,
                "key": request.key,
                "operation": request.operation,
                "created_at": self.state.recorded_at,
                "fingerprint": request.fingerprint,
                "result": serialized,
                "transaction_id": result.transaction_id,
                "hold_id": result.hold_id,
            }
        )
        self.remembered[request.caller, request.key] = RememberedRequest(
            request.fingerprint, serialized, result.transaction_id, result.hold_id
        )

    def mark_changed(self) -> None:
        """Count one change, so that the balance is written, with the due events that were applied."""
        self.state.version += 1
        self.is_changed = True

    def discard(self) -> None:
        """Write nothing of this balance."""
        self.is_changed = False


class LockedBalances(dict[UUID, LockedBalance]):
    """Locked balances by id."""

    def of(self, owner: Owner) -> LockedBalance:
        """Return the balance of the owner.

        :raises BalanceNotFoundError: the owner has no balance
        """
        balance = self.get(owner.id)
        require_state(owner, balance.state if balance else None)
        assert balance is not None
        return balance


class BalanceLoader:
    """Locks balances and loads what planning on them needs; ``needs`` are the keyword arguments of ``load_balances``.

    ``at`` is the latest instant at which anything is planned, ``earliest`` the earliest.
    """

    def __init__(
        self,
        balance_ids: Collection[UUID],
        at: datetime,
        *,
        earliest: datetime | None = None,
        requests: Sequence[RequestIdentity] = (),
        **needs: Any,
    ) -> None:
        self._ids = balance_ids
        self._at = at
        self._earliest = earliest or at
        keyed = [request for request in requests if request.key is not None]
        self._needs = needs | {
            "earliest": earliest,
            "keys": {request.key for request in keyed},
            "caller_ids": {request.caller for request in keyed},
        }

    def lock_and_load(self, *, skip_locked: bool = False) -> LockedBalances:
        """Lock the balances that exist and load them; ``skip_locked`` as for :func:`lock`."""
        return self._load(lock(self._ids, skip_locked=skip_locked))

    def load(self, *, grant_limit: int | None = None) -> LockedBalances:
        """Load balances that this transaction has locked before; ``grant_limit`` as for ``load_balances``."""
        return self._load(self._ids, grant_limit)

    def _load(self, locked_ids: Collection[UUID], grant_limit: int | None = None) -> LockedBalances:
        if not locked_ids:
            return LockedBalances()
        tier_facts = GroupTierFacts(locked_ids, self._earliest)
        return LockedBalances(
            {
                loaded.state.id: LockedBalance(loaded.state, tier_facts, loaded.remembered, loaded.prices)
                for loaded in load_balances(locked_ids, at=self._at, grant_limit=grant_limit, **self._needs)
            }
        )


def lock(balance_ids: Collection[UUID], *, skip_locked: bool = False) -> set[UUID]:
    """Lock the balances that exist, in order of id, and return their ids.

    ``FOR NO KEY UPDATE`` conflicts with every other writer of the balance, but not with inserts of rows that refer to
    it. What depends on the balance is read in a later statement: under READ COMMITTED a statement that waited for a
    lock sees the new version of the locked row only. ``skip_locked`` leaves out balances that another transaction has
    locked.
    """
    rows = CreditBalance.objects.select_for_update(no_key=True, skip_locked=skip_locked)
    ids = rows.filter(pk__in=balance_ids).order_by("pk").values_list("pk", flat=True)
    if skip_locked:
        return set(ids)
    with metrics.lock_wait_seconds.time():
        return set(ids)


@contextmanager
def lock_balance(
    owner: Owner,
    *,
    at: datetime | None,
    requests: Sequence[RequestIdentity] = (),
    create: bool = False,
    **needs: Any,
) -> Iterator[LockedBalance]:
    """Lock one owner's balance, apply due events up to ``at``, and write what was recorded when the block ends.

    Due events are not applied if the key of a request was used before: ``find_result`` then returns the stored result.
    ``create`` opens a balance for an owner that has none. Without ``at`` the clock is read. ``needs`` are the keyword
    arguments of ``load_balances``: features, hold_ids, grant_ids, member_ids.

    :raises InvalidArgumentError: ``at`` has no time zone, or is more than five minutes ahead of the clock
    :raises UserNotFoundError: with ``create``: there is no such user
    :raises OrganizationNotFoundError: with ``create``: there is no such organization
    :raises BalanceNotFoundError: the owner has no balance
    """
    at = resolve_timestamp(at)
    loader = BalanceLoader([owner.id], at, requests=requests, **needs)
    balances = loader.lock_and_load()
    if create and owner.id not in balances:
        open_balance(owner, at)
        balances = loader.lock_and_load()
    with flush_on_exit(balances):
        balance = balances.of(owner)
        # The key comes before due events: a retry gets its stored result.
        if not any(balance.is_remembered(request) for request in requests):
            balance.advance_to(at)
        yield balance


@contextmanager
def lock_balances(balance_ids: Iterable[UUID], *, at: datetime, may_be_ahead: bool = False) -> Iterator[LockedBalances]:
    """Lock many balances in order of id, apply due events up to ``at``, and write all recorded changes in one
    statement. ``may_be_ahead`` is for a caller that records nothing.

    :raises InvalidArgumentError: ``at`` has no time zone, or is more than five minutes ahead of the clock
    """
    at = resolve_timestamp(at, may_be_ahead=may_be_ahead)
    with flush_on_exit(BalanceLoader(list(balance_ids), at).lock_and_load()) as balances:
        for balance in balances.values():
            balance.advance_to(at)
        yield balances


@contextmanager
def flush_on_exit(balances: LockedBalances) -> Iterator[LockedBalances]:
    """Write the changed balances in one statement when the block ends without an exception."""
    yield balances
    rows = empty_rows()
    for balance in balances.values():
        if balance.is_changed:
            add_rows(rows, balance.state)
            rows["requests"] += balance.request_rows
    write_rows(rows)


def transaction_details(request: RequestIdentity, **details: Any) -> TransactionDetails:
    """Return the details of a transaction: those given, with the caller, the key and the request id."""
    return TransactionDetails(
        actor_id=request.caller,
        idempotency_key=request.key,
        request_id=request.request_id,
        **details,
    )


def open_balance(owner: Owner, at: datetime) -> None:
    """Insert a balance for an owner that has none. Lock it afterwards: a concurrent request may insert it first.

    :raises UserNotFoundError: there is no such user
    :raises OrganizationNotFoundError: there is no such organization
    """
    identity.require_owner(owner)
    row = CreditBalance(
        id=owner.id, user_id=owner.user_id, organization_id=owner.organization_id, last_at=at, created_at=at
    )
    CreditBalance.objects.bulk_create([row], ignore_conflicts=True)
