"""Deductions that wait: how many may wait, for how long, and what they see of other transactions afterwards."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from time import monotonic, sleep

import pytest
from django.db import connection, transaction

from credits import operations
from credits.engine.locked_balance import BalanceLoader
from credits.models import CreditBalance
from tests.support.deductions import (
    check_balance,
    deduction,
    intercepted,
    is_waiting,
    problem_code,
    run_behind_lock,
    summarize,
    usage_commits,
    waiting_behind_lock,
)
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import check_sums, unchanged
from tests.support.threads import (
    in_other_thread,
    lock_waits,
    locked_in_other_thread,
    outcome_of,
    sleeping_sessions,
    wait_until,
)
from tests.support.times import DAY, NOON

pytestmark = pytest.mark.django_db(transaction=True)


class TestLimits:
    def test_a_deduction_beyond_the_queue_limit_is_busy_at_once(self, settings):
        settings.OPERATION_QUEUE_LIMIT = 2
        balance, other = make_balance(), make_balance()

        with waiting_behind_lock([deduction(balance)] * 3, balance) as outcomes:
            started = monotonic()
            with pytest.raises(operations.BusyError):
                deduct(balance, 1)
            assert monotonic() - started < 1
            assert deduct(other, 1).transaction.balance_after == 99

        assert summarize(outcomes) == [1, 1, 1]
        assert deduct(balance, 1).transaction.balance_after == 96
        check_balance(balance)

    def test_the_api_answers_503_with_retry_after_beyond_the_queue_limit(self, settings, api, clock_at):
        settings.OPERATION_QUEUE_LIMIT = 1
        user = make_user()
        balance = make_balance(user)
        clock_at(NOON)

        with waiting_behind_lock([deduction(balance)] * 2, balance) as outcomes, unchanged():
            response = api(user).post("/api/credits/deduct", {"amount": 1, "description": "One too many"})

        assert (response.status_code, response.json()["code"], response["Retry-After"]) == (503, "busy", "1")
        assert summarize(outcomes) == [1, 1]

    def test_a_deduction_that_waits_for_the_lock_timeout_is_busy(self, settings):
        settings.LOCK_TIMEOUT_MS = 100
        balance = make_balance()

        with ThreadPoolExecutor(2) as pool:
            with locked_in_other_thread(balance):
                leader = pool.submit(outcome_of, deduction(balance, 1))
                wait_until(lambda: lock_waits() == 1)
                waiting = pool.submit(outcome_of, deduction(balance, 2))
                assert summarize([waiting.result(timeout=10)]) == ["busy"]
                assert not leader.done()
            assert summarize([leader.result(timeout=30)]) == [1]

        check_sums(balance)
        assert balance.balance == 99
        check_balance(balance)

    def test_a_deduction_in_a_group_waits_longer_than_the_lock_timeout(self, settings):
        settings.LOCK_TIMEOUT_MS = 300
        balance = make_balance()

        with intercepted(taken=lambda _: sleep(0.6)):
            assert summarize(run_behind_lock([deduction(balance)] * 3, balance)) == [1] * 3

        assert usage_commits(balance) == 1

    def test_the_outcome_is_unknown_to_a_deduction_whose_group_exceeds_the_statement_timeout(self, settings):
        settings.LOCK_TIMEOUT_MS = settings.STATEMENT_TIMEOUT_MS = 150
        balance, may_continue = make_balance(), Event()

        with intercepted(taken=lambda _: may_continue.wait(20)), ThreadPoolExecutor(2) as pool:
            with locked_in_other_thread(balance):
                leader = pool.submit(outcome_of, deduction(balance, 1))
                wait_until(lambda: lock_waits() == 1)
                waiting = pool.submit(outcome_of, deduction(balance, 2, idempotency_key="k"))
                wait_until(lambda: is_waiting(1))
            error = waiting.result(timeout=10)
            may_continue.set()
            assert summarize([leader.result(timeout=30)]) == [1]

        assert problem_code(error) == "database_unavailable"
        assert deduct(balance, 2, idempotency_key="k").replayed
        check_balance(balance)


class TestOtherTransactions:
    """What another transaction commits before the lock is granted is visible to the deduction."""

    def test_a_deduction_that_waited_for_the_lock_sees_the_commit_of_its_holder(self):
        balance = make_balance(grants=[(5, DAY), (95, None)])

        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                deduct(balance, 4, idempotency_key="k0")
                waiting = pool.submit(outcome_of, deduction(balance, 3, idempotency_key="k"))
                wait_until(lambda: lock_waits() == 1)
            result = waiting.result(timeout=30)

        assert (result.transaction.sequence, result.transaction.balance_after) == (4, 93)
        assert [(entry.amount, entry.remaining_after) for entry in result.transaction.entries] == [(-1, 0), (-2, 93)]
        check_balance(balance)

    def test_a_deduction_that_waited_for_the_lock_finds_the_key_of_its_holder(self):
        balance = make_balance()

        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                first = deduct(balance, 4, idempotency_key="k")
                waiting = pool.submit(outcome_of, deduction(balance, 4, idempotency_key="k"))
                wait_until(lambda: lock_waits() == 1)
            result = waiting.result(timeout=30)

        assert (result.replayed, result.transaction.id) == (True, first.transaction.id)
        check_balance(balance)

    def test_the_first_queue_sees_a_commit_between_its_begin_and_its_lock(self):
        balance = make_balance(grants=[(5, DAY), (95, None)])
        is_taken, may_lock = Event(), Event()

        def hold_up(group):
            is_taken.set()
            may_lock.wait(20)

        with intercepted(taken=hold_up, queue="first"), ThreadPoolExecutor(1) as pool:
            late = pool.submit(outcome_of, deduction(balance, 3))
            assert is_taken.wait(20)
            with transaction.atomic():  # inside its own transaction a deduction does not use the queue
                deduct(balance, 4)
            may_lock.set()
            result = late.result(timeout=30)

        assert (result.transaction.sequence, result.transaction.balance_after) == (4, 93)
        check_balance(balance)

    @pytest.mark.parametrize("statement_end", ["SKIP LOCKED", "FOR NO KEY UPDATE"])
    def test_a_commit_during_the_lock_statement_is_seen_by_both_queues(self, statement_end):
        balance = make_balance(grants=[(5, DAY), (95, None)])

        with ThreadPoolExecutor(2) as pool:
            if statement_end == "SKIP LOCKED":
                late = pool.submit(outcome_of, sleeping_in_lock(deduction(balance, 3), statement_end))
            else:
                with locked_in_other_thread(balance):
                    late = pool.submit(outcome_of, sleeping_in_lock(deduction(balance, 3), statement_end))
                    wait_until(lambda: sleeping_sessions() == 1)
            wait_until(lambda: sleeping_sessions() == 1)
            with transaction.atomic():
                deduct(balance, 4)
            result = late.result(timeout=30)

        assert (result.transaction.sequence, result.transaction.balance_after) == (4, 93)
        assert [(entry.amount, entry.remaining_after) for entry in result.transaction.entries] == [(-1, 0), (-2, 93)]
        check_balance(balance)


class TestABalanceCreatedDuringTheLockStatement:
    """The statement that locks has read its snapshot before the balance exists, so it locks nothing."""

    def test_the_balance_is_not_loaded_without_its_lock(self):
        user = make_user()

        def lock_and_load():
            with transaction.atomic():
                return list(BalanceLoader([user.pk], NOON).lock_and_load())

        with ThreadPoolExecutor(1) as pool:
            loaded = pool.submit(in_other_thread, sleeping_in_lock(lock_and_load))
            wait_until(lambda: sleeping_sessions() == 1)
            make_balance(user)

            assert loaded.result(timeout=30) == []

    def test_the_deduction_finds_no_balance(self):
        user = make_user()

        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(outcome_of, sleeping_in_lock(deduction(CreditBalance(pk=user.pk, user=user))))
            wait_until(lambda: sleeping_sessions() == 1)
            balance = make_balance(user)

            assert summarize([late.result(timeout=30)]) == ["balance_not_found"]

        assert usage_commits(balance) == 0
        check_balance(balance)


def sleeping_in_lock(call, statement_end="FOR NO KEY UPDATE"):
    """Return ``call`` with a lock statement that sleeps for a second after it has taken its snapshot.

    ``statement_end`` selects the lock statement: it waits for locks, or ends with ``SKIP LOCKED``.
    """

    def sleep_in_lock(execute, sql, params, many, context):
        if sql.endswith(statement_end) and "FOR NO KEY UPDATE" in sql:
            sql = sql.replace(" WHERE ", " WHERE (SELECT pg_sleep(1)) IS NOT NULL AND ")
        return execute(sql, params, many, context)

    def run():
        with connection.execute_wrapper(sleep_in_lock):
            return call()

    return partial(run)
