from collections.abc import Callable

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from credits import operations
from credits.models import CreditBalance
from fluxori.db.sqlstates import POOLER
from fluxori.db.transactions import transaction_with_retry
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import check_sums, unchanged
from tests.support.times import NOON


def failing(times: int, kind: type[psycopg.Error]) -> Callable[[], int]:
    """Return an operation that raises a database error ``times`` times, and then returns how often it ran."""
    runs = 0

    @transaction_with_retry
    def operation() -> int:
        nonlocal runs
        runs += 1
        if runs <= times:
            raise OperationalError from kind()
        return runs

    return operation


@pytest.mark.django_db(transaction=True)
class TestOutermostTransaction:
    @pytest.mark.parametrize("kind", [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected])
    def test_an_operation_is_retried_after_a_serialization_failure_or_deadlock(self, kind):
        assert failing(3, kind)() == 4

    def test_the_error_is_raised_after_four_attempts(self):
        with pytest.raises(OperationalError):
            failing(4, psycopg.errors.DeadlockDetected)()

    @pytest.mark.parametrize("sqlstate", sorted(POOLER))
    def test_an_operation_is_retried_once_on_a_new_connection_after_an_error_of_a_pooler(self, sqlstate):
        kind = psycopg.errors.lookup(sqlstate)
        with connection.cursor():
            first = connection.connection

        assert failing(1, kind)() == 2
        assert connection.connection is not first
        with pytest.raises(OperationalError):
            failing(2, kind)()

    @pytest.mark.parametrize("kind", [psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled])
    def test_an_operation_is_not_retried_after_a_timeout(self, kind):
        operation = failing(1, kind)

        with pytest.raises(OperationalError):
            operation()

        assert operation() == 2

    def test_a_failed_attempt_leaves_no_rows(self):
        owner = make_user()
        attempts = []

        @transaction_with_retry
        def operation():
            operations.add_credits(owner=owner, amount=5, type="purchase", at=NOON)
            attempts.append(CreditBalance.objects.get().balance)
            if len(attempts) < 3:
                raise OperationalError from psycopg.errors.SerializationFailure()

        operation()

        assert attempts == [5, 5, 5]
        check_sums(CreditBalance.objects.get())

    def test_an_operation_is_retried_after_a_conflict_that_postgresql_reports(self):
        balance = make_balance()
        other = connection.copy()
        attempts = []

        @transaction_with_retry
        def operation():
            attempts.append(1)
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("SELECT 1 FROM credits_creditbalance")
            if len(attempts) == 1:
                with other.cursor() as cursor:
                    cursor.execute("UPDATE credits_creditbalance SET version = version + 1")
            deduct(balance, 10)

        try:
            operation()
        finally:
            other.close()

        assert len(attempts) == 2
        check_sums(balance)
        assert balance.balance == 90


@pytest.mark.django_db(transaction=True)
class TestInsideATransactionOfTheCaller:
    def test_an_operation_is_committed_with_it(self):
        balance = make_balance()

        with transaction.atomic():
            deduct(balance, 10)
            deduct(balance, 20)

        check_sums(balance)
        assert balance.balance == 70

    def test_an_operation_is_rolled_back_with_it(self):
        balance = make_balance()

        with unchanged(), transaction.atomic():
            deduct(balance, 10, idempotency_key="k")
            transaction.set_rollback(True)

        assert deduct(balance, 10, idempotency_key="k").replayed is False

    def test_the_caller_can_continue_after_an_error(self):
        balance = make_balance()

        with transaction.atomic():
            with pytest.raises(operations.InsufficientCreditsError):
                deduct(balance, 101)
            deduct(balance, 100)

        check_sums(balance)
        assert (balance.balance, balance.sequence) == (0, 2)

    @pytest.mark.parametrize("kind", [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected])
    def test_an_operation_is_not_retried(self, kind):
        operation = failing(1, kind)

        with pytest.raises(OperationalError), transaction.atomic():
            operation()

        assert operation() == 2
