"""Helpers that make concurrent deductions share a transaction in a known order.

``run_behind_lock`` uses the queue of one contended balance: another transaction holds its lock while the calls arrive.
``run_in_first_queue`` uses the queue for all free balances: a deduction of another balance is at work while the calls
arrive. Both return the outcomes in the order of the calls: results, or exceptions.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest
from django.db import connection
from django.http import HttpRequest
from rest_framework.request import Request

from credits.engine import operation_queue as queue_module
from credits.engine.operation_queue import operation_queue
from credits.models import CreditBalance
from credits.verification import verify_balance
from fluxori.api import problems
from fluxori.core.errors import DomainError
from tests.support.factories.credits import deduct, make_balance
from tests.support.operations import check_sums
from tests.support.threads import lock_waits, locked_in_other_thread, outcome_of, wait_until

Call = Callable[[], Any]


def deduction(balance: CreditBalance, amount: int = 1, **arguments: Any) -> Call:
    """Return a call that deducts ``amount`` credits."""
    return lambda: deduct(balance, amount, **arguments)


def is_waiting(count: int) -> bool:
    """Return whether exactly ``count`` requests of this process wait in the queues."""
    return operation_queue._waiting_count == count


@contextmanager
def intercepted(
    *,
    before: Callable[[], Any] = lambda: None,
    taken: Callable[[list[Any]], Any] = lambda requests: None,
    written: Callable[[], Any] = lambda: None,
    queue: str = "contended",
) -> Iterator[None]:
    """Call functions inside each group of one kind of queue, ``contended`` or ``first``.

    ``before`` runs before the lock, ``taken`` with the requests of the group as soon as it is taken, ``written`` when
    all rows are written but not committed.
    """

    def process_group(wait_for, take_group):
        if (queue == "first") != (wait_for is None):
            return queue_module.process_group(wait_for, take_group)

        def take_and_report():
            group = take_group()
            taken([request for _, request in group])
            return group

        before()
        results = queue_module.process_group(wait_for, take_and_report)
        written()
        return results

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operation_queue, "_process", process_group)
        yield


@contextmanager
def waiting_behind_lock(calls: Sequence[Call], balance: CreditBalance) -> Iterator[list[Any]]:
    """Run the block while the first call waits for the lock of the balance, and the others wait in its queue.

    Yields a list that contains the outcomes after the block.
    """
    outcomes: list[Any] = []
    with ThreadPoolExecutor(len(calls)) as pool:
        with locked_in_other_thread(balance):
            futures: list[Future[Any]] = []
            for index, call in enumerate(calls):
                futures.append(pool.submit(outcome_of, call))
                if index == 0:
                    wait_until(lambda: lock_waits() == 1)
                wait_until(lambda count=index: is_waiting(count))  # type: ignore[misc]
            yield outcomes
        outcomes += [future.result(timeout=30) for future in futures]


def run_behind_lock(calls: Sequence[Call], balance: CreditBalance) -> list[Any]:
    """Run the calls in one group of the queue of the balance, in this order, and return the outcomes."""
    with waiting_behind_lock(calls, balance) as outcomes:
        pass
    return outcomes


def run_in_first_queue(calls: Sequence[Call], taken: Callable[[list[Any]], Any] = lambda requests: None) -> list[Any]:
    """Run the calls in one group of the first queue, in this order, and return the outcomes.

    ``taken`` runs with the requests of each later group of any queue, as soon as the group is taken.
    """
    other_balance, is_leading, may_continue = make_balance(), Event(), Event()

    def process_group(wait_for, take_group):
        def take_and_report():
            group = take_group()
            if any(owner == other_balance.owner for owner, _ in group):
                is_leading.set()
                may_continue.wait(20)
            else:
                taken([request for _, request in group])
            return group

        return queue_module.process_group(wait_for, take_and_report)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(calls) + 1) as pool:
        patch.setattr(operation_queue, "_process", process_group)
        leader = pool.submit(outcome_of, deduction(other_balance))
        assert is_leading.wait(20)
        futures = []
        for count, call in enumerate(calls, 1):
            futures.append(pool.submit(outcome_of, call))
            wait_until(lambda count=count: is_waiting(count))  # type: ignore[misc]
        may_continue.set()
        assert summarize([leader.result(timeout=30)]) == [1]
        return [future.result(timeout=30) for future in futures]


def summarize(outcomes: Sequence[Any]) -> list[Any]:
    """Return for each outcome the credits deducted, the code of the ``DomainError``, or the class of the exception."""
    return [_summary(outcome) for outcome in outcomes]


def _summary(outcome: Any) -> Any:
    if isinstance(outcome, DomainError):
        return outcome.code
    return type(outcome) if isinstance(outcome, BaseException) else -outcome.transaction.amount


def problem_code(error: Exception) -> str:
    """Return the code that the HTTP API reports for an exception."""
    return problems.to_problem(error, Request(HttpRequest())).code


def usage_commits(balance: CreditBalance) -> int:
    """Return how many database transactions wrote the usage of a balance."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT xmin::text) FROM credits_credittransaction WHERE balance_id = %s AND type = 'usage'",
            [balance.pk],
        )
        [number] = cursor.fetchone()
    return int(number)


def check_balance(balance: CreditBalance) -> None:
    """Check every invariant of the stored balance, and that no queue is left over."""
    check_sums(balance)
    assert verify_balance(balance.pk).differences == ()
    assert is_waiting(0)
    assert not operation_queue._queues
