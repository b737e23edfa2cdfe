"""How concurrent operations share a transaction: the interface of a request, and how a group of requests is processed.

``operation_queue`` is the group commit of this process for deductions, holds and added credits: one lock, one load, one
write and one COMMIT serve every request that waits, whatever its kind. Each request is planned at its own instant, in
order of time: the result is that of the same requests one after another. The requests are ``DeductionRequest``,
``PlaceHoldRequest``, ``CaptureRequest``, ``ReleaseRequest`` and ``AddRequest``. Next: ``fluxori.db.group_commit`` for
the queue, ``docs/explanation/group-commit.md`` for why it exists.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import ClassVar, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import transaction

from credits.domain import errors
from credits.domain.balance_state import GrantsNotLoadedError
from credits.engine.idempotency import RequestIdentity
from credits.engine.locked_balance import (
    BalanceLoader,
    LockedBalance,
    LockedBalances,
    OperationResult,
    flush_on_exit,
    lock,
    open_balance,
)
from credits.engine.rejected_attempts import Rejection, record_rejected_attempts
from credits.queries.loading import FIRST_GRANTS
from fluxori.core.errors import DomainError
from fluxori.db.group_commit import GroupCommitQueue, TakeGroup
from fluxori.identity.owner import Owner

R = TypeVar("R")
Planned = OperationResult | DomainError

# How many grants of a balance are loaded at first, and then if they do not suffice. None: all.
GRANT_LIMITS: tuple[int | None, ...] = (FIRST_GRANTS, 16 * FIRST_GRANTS, 256 * FIRST_GRANTS, None)


class GroupRequest(ABC):
    """One valid request that can share a transaction with others.

    ``features``, ``hold_ids`` and ``member_ids`` name what has to be loaded to plan it.
    """

    identity: RequestIdentity
    at: datetime
    creates_balance: ClassVar[bool] = False

    @property
    def features(self) -> Collection[str]:
        return ()

    @property
    def hold_ids(self) -> Collection[UUID]:
        return ()

    @property
    def member_ids(self) -> Collection[UUID | None]:
        return ()

    @abstractmethod
    def apply_to(self, balance: LockedBalance) -> OperationResult:
        """Plan the request on a locked balance whose due events are applied."""

    def rejection(self, balance: LockedBalance, error: DomainError) -> Rejection:
        """Return the attempt that is counted if the error is one that is counted."""
        return Rejection(balance.state.id, error, self.at, actor_id=self.identity.caller)


def loader_for(balance_ids: Collection[UUID], requests: Sequence[GroupRequest]) -> BalanceLoader:
    """Return the loader of everything that these requests need."""
    return BalanceLoader(
        balance_ids,
        max(request.at for request in requests),
        earliest=min(request.at for request in requests),
        requests=[request.identity for request in requests],
        features={feature for request in requests for feature in request.features},
        hold_ids={hold for request in requests for hold in request.hold_ids},
        member_ids={member for request in requests for member in request.member_ids},
    )


def load_and_plan(loader: BalanceLoader, plan: Callable[[LockedBalances], R]) -> R:
    """Load locked balances, return the result of ``plan``, and write what it recorded.

    Few grants are loaded first. If they do not suffice, nothing was written, and it is planned again with more of them.
    """
    for grant_limit in GRANT_LIMITS:
        with suppress(GrantsNotLoadedError), flush_on_exit(loader.load(grant_limit=grant_limit)) as balances:
            return plan(balances)
    raise AssertionError("all grants were loaded")


def plan_in_order(balance: LockedBalance, requests: Sequence[GroupRequest], *, is_new: bool = False) -> list[Planned]:
    """Plan requests of one balance in order of their instants, then of arrival, and return the results in order of
    arrival.

    A balance that ``is_new`` exists from the first request on that creates it.
    """
    results: dict[int, Planned] = {}
    for index, request in sorted(enumerate(requests), key=lambda each: (each[1].at, each[0])):
        if is_new and not request.creates_balance:
            results[index] = errors.BalanceNotFoundError()
            continue
        results[index] = balance.attempt(request.identity, request.at, request.apply_to)
        is_new = is_new and isinstance(results[index], DomainError)
    return [results[index] for index in range(len(requests))]


def process_group(
    wait_for: Owner | None, take_group: TakeGroup[Owner, GroupRequest]
) -> Sequence[OperationResult | DomainError | None]:
    """Lock, load, plan and write one group of requests, in the transaction of the caller.

    For the first queue ``wait_for`` is None: balances that another transaction has locked are skipped, and their
    requests get None. For the queue of one contended balance its lock is waited for before the group is taken, so that
    everything that arrives during the wait joins. Rejected attempts are counted after the commit, once for the group.
    """
    if wait_for is None:
        group = take_group()
        locked = lock({owner.id for owner, _ in group}, skip_locked=True)
    else:
        locked = lock([wait_for.id])
        group = take_group()
        if not locked:
            return _create_and_process(wait_for, [request for _, request in group])
    return _process(locked, group, wait_for)


def _process(
    locked: Collection[UUID],
    group: Sequence[tuple[Owner, GroupRequest]],
    wait_for: Owner | None,
    *,
    is_new: bool = False,
) -> list[OperationResult | DomainError | None]:
    def plan(balances: LockedBalances) -> list[OperationResult | DomainError | None]:
        results: dict[int, OperationResult | DomainError | None] = {}
        rejections: list[Rejection] = []
        for owner in dict.fromkeys(owner for owner, _ in group):
            indexes = [index for index, (other, _) in enumerate(group) if other == owner]
            requests = [group[index][1] for index in indexes]
            if wait_for is None and owner.id not in balances:
                # Locked elsewhere, or missing: the queue of the balance waits for the lock and finds out.
                results |= dict.fromkeys(indexes)
                continue
            planned = _plan_for_owner(balances, owner, requests, rejections, is_new=is_new)
            results |= zip(indexes, planned, strict=True)
        record_rejected_attempts(rejections)
        return [results[index] for index in range(len(group))]

    return load_and_plan(loader_for(locked, [request for _, request in group]), plan)


def _plan_for_owner(
    balances: LockedBalances,
    owner: Owner,
    requests: Sequence[GroupRequest],
    rejections: list[Rejection],
    *,
    is_new: bool,
) -> Sequence[Planned]:
    try:
        balance = balances.of(owner)
    except errors.BalanceNotFoundError:
        # One error for each request: several threads raise them, and raising an exception changes it.
        return [errors.BalanceNotFoundError() for _ in requests]
    planned = plan_in_order(balance, requests, is_new=is_new)
    for request, result in zip(requests, planned, strict=True):
        if isinstance(result, DomainError):
            rejections.append(request.rejection(balance, result))
    return planned


def _create_and_process(
    owner: Owner, requests: Sequence[GroupRequest]
) -> Sequence[OperationResult | DomainError | None]:
    """Process the requests of an owner without a balance. The first one that adds credits opens it."""
    opened_at = [request.at for request in requests if request.creates_balance]
    if not opened_at:
        return [errors.BalanceNotFoundError() for _ in requests]
    try:
        open_balance(owner, min(opened_at))
    except DomainError as error:
        # The owner does not exist. As above, each request gets its own error.
        return [type(error)() if request.creates_balance else errors.BalanceNotFoundError() for request in requests]
    results = _process(lock([owner.id]), [(owner, request) for request in requests], owner, is_new=True)
    if not any(isinstance(result, OperationResult) for result in results):
        # Nothing may remain of a balance whose first credits were rejected.
        transaction.set_rollback(True)
    return results


operation_queue: GroupCommitQueue[Owner, GroupRequest, OperationResult | DomainError] = GroupCommitQueue(
    process_group, busy_error=errors.BusyError, queue_limit=lambda: settings.OPERATION_QUEUE_LIMIT
)


def run_in_group(owner: Owner, request: GroupRequest) -> OperationResult:
    """Return the result of the request after its COMMIT, or raise its error.

    Inside a transaction of the caller the request runs alone.

    :raises BusyError: too many requests wait, or this one waited too long for a lock; nothing was written
    """
    result = operation_queue.run(owner, request)
    if isinstance(result, DomainError):
        raise result
    return result
