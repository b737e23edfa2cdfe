"""Deduct many times at once: on one balance, or on several."""

from collections.abc import Sequence
from datetime import datetime

from django.db import Error as DatabaseError

from credits.arguments import resolve_timestamp
from credits.domain import errors
from credits.engine.deductions import Deduction, DeductionRequest
from credits.engine.locked_balance import LockedBalance, LockedBalances, OperationResult, lock
from credits.engine.operation_queue import load_and_plan, loader_for, plan_in_order
from credits.engine.rejected_attempts import record_rejected_attempts
from credits.engine.results import TransactionResult, transaction_results
from fluxori.core.errors import DomainError
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.owner import Owner, OwnerLike


@measured
def deduct_many(
    *,
    owner: OwnerLike,
    deductions: Sequence[Deduction | DomainError],
    atomic: bool = False,
    at: datetime | None = None,
) -> list[TransactionResult | DomainError]:
    """Run many deductions of one balance in order, in one transaction, with as many statements as one deduction.

    Each has its own result: the transaction, or the error that :func:`deduct_credits` would have raised. An error in
    place of a deduction (one that the caller rejected before) is its own result.

    An error of one deduction does not affect the others, unless ``atomic``: then nothing new is written, and each
    deduction that would have succeeded gets BatchAbortedError. Transactions that an earlier request wrote under the
    same keys remain, and are returned again.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.
    """
    try:
        when = resolve_timestamp(at)
    except DomainError as error:
        return [each if isinstance(each, DomainError) else error for each in deductions]
    requests = [_request_or_error(deduction, when) for deduction in deductions]
    if all(isinstance(request, DomainError) for request in requests):
        return [request for request in requests if isinstance(request, DomainError)]
    target = Owner.of(owner)
    try:
        results = _deduct(target, requests, atomic=atomic)
    except DomainError as error:
        # An error of the balance itself is the result of every deduction that was not rejected before.
        return [request if isinstance(request, DomainError) else error for request in requests]
    rejections = [
        deduction.rejected(result, balance_id=target.id, at=when)
        for deduction, result in zip(deductions, results, strict=True)
        if isinstance(deduction, Deduction) and isinstance(result, DomainError)
    ]
    record_rejected_attempts(rejections)
    succeeded = iter(transaction_results([result for result in results if isinstance(result, OperationResult)]))
    return [result if isinstance(result, DomainError) else next(succeeded) for result in results]


def deduct_batch(
    *,
    items: Sequence[tuple[OwnerLike | None, Deduction | DomainError]],
    atomic: bool = False,
    at: datetime | None = None,
) -> list[TransactionResult | DomainError | DatabaseError]:
    """Run deductions of one balance or of several, and return the results in their order; see :func:`deduct_many`.

    The balances are processed one after another in order of id, each in its own transaction, so an error on one does
    not affect the others. A database error is the result of every deduction of its balance that was not rejected
    before. The owner may be None for an item that is an error already.

    ``at`` is the instant of the request. If the balance has changed since, it takes effect at the last change; see
    docs/explanation/back-dated-operations.md.
    """
    indexes: dict[Owner, list[int]] = {}
    results: dict[int, TransactionResult | DomainError | DatabaseError] = {}
    for index, (owner, deduction) in enumerate(items):
        if owner is None:
            assert isinstance(deduction, DomainError)
            results[index] = deduction
        else:
            indexes.setdefault(Owner.of(owner), []).append(index)
    for target in sorted(indexes, key=lambda owner: owner.id):
        deductions = [items[index][1] for index in indexes[target]]
        results |= zip(indexes[target], _deduct_or_database_error(target, deductions, atomic, at), strict=True)
    return [results[index] for index in range(len(items))]


def _deduct_or_database_error(
    owner: Owner, deductions: list[Deduction | DomainError], atomic: bool, at: datetime | None
) -> Sequence[TransactionResult | DomainError | DatabaseError]:
    try:
        return deduct_many(owner=owner, deductions=deductions, atomic=atomic, at=at)
    except DatabaseError as error:
        when = resolve_timestamp(at)
        requests = [_request_or_error(deduction, when) for deduction in deductions]
        return [request if isinstance(request, DomainError) else error for request in requests]


def _request_or_error(deduction: Deduction | DomainError, at: datetime) -> DeductionRequest | DomainError:
    if isinstance(deduction, DomainError):
        return deduction
    try:
        return DeductionRequest.of(deduction, at)
    except DomainError as error:
        return error


@transaction_with_retry
def _deduct(
    owner: Owner, requests: Sequence[DeductionRequest | DomainError], *, atomic: bool
) -> list[OperationResult | DomainError]:
    # Only valid deductions reach the database: one invalid deduction must not fail the others.
    valid = [request for request in requests if isinstance(request, DeductionRequest)]

    def plan(balances: LockedBalances) -> list[OperationResult | DomainError]:
        balance = balances.of(owner)
        planned = iter(plan_in_order(balance, valid))
        results = [request if isinstance(request, DomainError) else next(planned) for request in requests]
        return _all_or_nothing(balance, results) if atomic else results

    return load_and_plan(loader_for(lock([owner.id]), valid), plan)


def _all_or_nothing(
    balance: LockedBalance, results: list[OperationResult | DomainError]
) -> list[OperationResult | DomainError]:
    """Return the results; if one is an error, write nothing and return BatchAbortedError for each new transaction."""
    if not any(isinstance(result, DomainError) for result in results):
        return results
    discarded = {transaction.id for transaction in balance.state.transactions}
    balance.discard()
    return [
        errors.BatchAbortedError()
        if isinstance(result, OperationResult) and result.transaction_id in discarded
        else result
        for result in results
    ]
