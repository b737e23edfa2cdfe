"""Errors among concurrent deductions that share a transaction: which request gets which error, and what was written."""

from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

from tests.support.deductions import (
    check_balance,
    deduction,
    intercepted,
    is_waiting,
    problem_code,
    run_behind_lock,
    run_in_first_queue,
    summarize,
    usage_commits,
    waiting_behind_lock,
)
from tests.support.factories.credits import deduct, make_balance
from tests.support.faults import ThreadEnded, end_thread, fail_with, lose_connection, once
from tests.support.operations import reject_deductions_of_13, unchanged
from tests.support.threads import lock_waits, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def has_13(group):
    return any(each.deduction.amount == 13 for each in group)


class TestAnErrorOfOneDeduction:
    def test_an_exception_does_not_fail_the_others(self):
        balance = make_balance()

        def fail_for_13(group):
            if has_13(group):
                raise RuntimeError

        with intercepted(taken=fail_for_13):
            outcomes = run_behind_lock([deduction(balance, amount) for amount in (1, 13, 2, 3)], balance)

        assert summarize(outcomes) == [1, RuntimeError, 2, 3]
        check_balance(balance)

    def test_an_exception_does_not_fail_those_of_other_balances(self):
        one, other, groups = make_balance(), make_balance(), []

        def fail_for_13(group):
            groups.append(len(group))
            if has_13(group):
                raise RuntimeError

        outcomes = run_in_first_queue([deduction(one, 1), deduction(other, 13), deduction(other, 2)], fail_for_13)

        assert summarize(outcomes) == [1, RuntimeError, 2]
        assert groups == [3, 1, 1, 1]
        check_balance(one)
        check_balance(other)

    def test_a_database_error_does_not_fail_the_others(self):
        balance = make_balance()

        def divide_by_zero_for_13(group):
            if has_13(group):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1 / 0")

        with intercepted(taken=divide_by_zero_for_13):
            outcomes = run_behind_lock([deduction(balance, amount) for amount in (1, 13, 2)], balance)

        assert summarize([outcomes[0], outcomes[2]]) == [1, 2]
        assert isinstance(outcomes[1], DatabaseError)
        check_balance(balance)

    def test_a_constraint_violation_in_the_write_does_not_fail_the_others(self):
        balance, groups = make_balance(), []

        with reject_deductions_of_13(), intercepted(taken=lambda group: groups.append(len(group))):
            outcomes = run_behind_lock([deduction(balance, amount) for amount in (1, 13, 2)], balance)

        assert summarize(outcomes) == [1, IntegrityError, 2]
        assert groups == [3, 1, 1, 1]
        check_balance(balance)


class TestConflictsAndTimeouts:
    @pytest.mark.parametrize("kind", [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected])
    def test_the_whole_group_is_retried_after_a_serialization_failure_or_deadlock(self, kind):
        balance, groups, errors = make_balance(), [], [kind, kind]

        def fail_twice(group):
            groups.append(len(group))
            if errors:
                fail_with(errors.pop())

        with intercepted(taken=fail_twice):
            results = run_behind_lock([deduction(balance, idempotency_key=f"k{n}") for n in range(4)], balance)

        assert groups == [4, 4, 4]
        assert summarize(results) == [1] * 4
        assert usage_commits(balance) == 1
        check_balance(balance)

    @pytest.mark.parametrize(
        ("kind", "attempts"), [(psycopg.errors.DeadlockDetected, 4), (psycopg.errors.QueryCanceled, 1)]
    )
    def test_each_deduction_is_busy_after_a_conflict_that_lasts_or_a_timeout(self, kind, attempts):
        balance, groups = make_balance(), []

        def fail_always(group):
            groups.append(len(group))
            fail_with(kind)

        with intercepted(taken=fail_always), unchanged():
            outcomes = run_behind_lock([deduction(balance, idempotency_key=f"k{n}") for n in range(4)], balance)

        assert groups == [4] * attempts
        assert summarize(outcomes) == [OperationalError] * 4
        assert len({id(error) for error in outcomes}) == 4
        assert [problem_code(error) for error in outcomes] == ["busy"] * 4

    def test_the_next_deduction_leads_if_the_leader_does_not_get_the_lock(self):
        balance = make_balance()

        def deduct_impatiently():
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '300ms'")
            return deduct(balance, 1)

        with waiting_behind_lock([deduct_impatiently, *[deduction(balance)] * 3], balance) as outcomes:
            wait_until(lambda: is_waiting(2) and lock_waits() == 1)

        assert summarize(outcomes) == [OperationalError, 1, 1, 1]
        assert usage_commits(balance) == 1
        check_balance(balance)


class TestALeaderThatEnds:
    @pytest.mark.parametrize("stage", ["taken", "written"])
    def test_the_others_deduct_alone_if_it_ends_before_the_commit(self, stage):
        balance = make_balance()

        faults: dict[str, Any] = {stage: once(end_thread)}

        with intercepted(**faults):
            outcomes = run_behind_lock([deduction(balance)] * 5, balance)

        assert summarize(outcomes) == [ThreadEnded, 1, 1, 1, 1]
        check_balance(balance)

    def test_the_outcome_is_unknown_to_the_others_if_it_ends_in_the_commit(self):
        balance = make_balance()
        calls = [deduction(balance, idempotency_key=f"k{n}") for n in range(3)]

        with intercepted(written=once(lambda: transaction.on_commit(end_thread))):
            ended, *others = run_behind_lock(calls, balance)

        assert isinstance(ended, ThreadEnded)
        assert [problem_code(error) for error in others] == ["database_unavailable"] * 2
        assert [result.replayed for result in run_behind_lock(calls, balance)] == [True] * 3
        check_balance(balance)


class TestALostConnection:
    def test_every_deduction_is_repeated_if_it_is_lost_before_the_commit(self):
        balance = make_balance()

        with intercepted(taken=once(lose_connection)):
            outcomes = run_behind_lock([deduction(balance, idempotency_key=f"k{n}") for n in range(4)], balance)

        assert summarize(outcomes) == [1] * 4
        check_balance(balance)

    def test_the_outcome_is_unknown_if_it_is_lost_in_the_commit_and_the_same_keys_are_safe_to_retry(self):
        balance = make_balance()
        calls = [deduction(balance, idempotency_key=f"k{n}") for n in range(4)]

        with intercepted(written=once(lose_connection)), unchanged():
            outcomes = run_behind_lock(calls, balance)

        assert len({id(error) for error in outcomes}) == 4
        assert [problem_code(error) for error in outcomes] == ["database_unavailable"] * 4
        assert summarize(run_behind_lock(calls, balance)) == [1] * 4
        check_balance(balance)
