from collections.abc import Callable

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from credits import operations
from credits.models import CreditBalance
from fluxori.db.transactions import transaction_with_retry
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import check_sums, unchanged
from tests.support.times import NOON


def failing(times: int, kind: type[psycopg.Error]) -> Callable[[], int]:
    """Return an operation that meets the database's ``kind`` of fault so many times, then tells how often it ran."""
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
class TestWholeOutermost:
    @pytest.mark.parametrize("kind", [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected])
    def test_tries_again_where_the_database_asks_for_it(self, kind):
        assert failing(3, kind)() == 4

    def test_gives_up_in_the_end(self):
        with pytest.raises(OperationalError):
            failing(4, psycopg.errors.DeadlockDetected)()

    @pytest.mark.parametrize("kind", [psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled])
    def test_does_not_repeat_after_any_other_fault(self, kind):
        operation = failing(1, kind)

        with pytest.raises(OperationalError):
            operation()

        assert operation() == 2

    def test_leaves_nothing_of_a_try_that_failed(self):
        owner = make_user()
        tries = []

        @transaction_with_retry
        def operation():
            operations.add_credits(owner=owner, amount=5, type="purchase", at=NOON)
            tries.append(CreditBalance.objects.get().balance)
            if len(tries) < 3:
                raise OperationalError from psycopg.errors.SerializationFailure()

        operation()

        assert tries == [5, 5, 5]
        check_sums(CreditBalance.objects.get())

    def test_tries_again_after_a_true_serialization_failure(self):
        balance = make_balance()
        stale = connection.copy()
        tries = []

        @transaction_with_retry
        def operation():
            tries.append("try")
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("SELECT 1 FROM credits_creditbalance")
            if len(tries) == 1:
                with stale.cursor() as cursor:
                    cursor.execute("UPDATE credits_creditbalance SET version = version + 1")
            deduct(balance, 10)

        try:
            operation()
        finally:
            stale.close()

        assert len(tries) == 2
        check_sums(balance)
        assert balance.balance == 90


@pytest.mark.django_db(transaction=True)
class TestWholeInsideATransactionOfTheCaller:
    def test_stands_with_it(self):
        balance = make_balance()

        with transaction.atomic():
            deduct(balance, 10)
            deduct(balance, 20)

        check_sums(balance)
        assert balance.balance == 70

    def test_falls_with_it(self):
        balance = make_balance()

        with unchanged(), transaction.atomic():
            deduct(balance, 10, idempotency_key="k")
            transaction.set_rollback(True)

        assert deduct(balance, 10, idempotency_key="k").replayed is False

    def test_lets_the_caller_go_on_after_a_refusal(self):
        balance = make_balance()

        with transaction.atomic():
            with pytest.raises(operations.InsufficientCreditsError):
                deduct(balance, 101)
            deduct(balance, 100)

        check_sums(balance)
        assert (balance.balance, balance.sequence) == (0, 2)

    @pytest.mark.parametrize("kind", [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected])
    def test_does_not_try_again(self, kind):
        operation = failing(1, kind)

        with pytest.raises(OperationalError), transaction.atomic():
            operation()

        assert operation() == 2
