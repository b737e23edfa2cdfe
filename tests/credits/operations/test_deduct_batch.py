from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection

from credits import operations
from credits.operations import Deduction
from tests.support.factories.credits import make_balance, make_user
from tests.support.operations import captured_statements, check_sums, statement_kinds
from tests.support.threads import locked_in_other_thread
from tests.support.times import NOON

pytestmark = pytest.mark.django_db


def deduction(amount):
    return Deduction(amount=amount, description="Spent in a test")


def deduct_batch(*items, atomic=False):
    return operations.deduct_batch(items=items, atomic=atomic, at=NOON)


def codes(results):
    return [getattr(result, "code", "paid") for result in results]


@contextmanager
def short_lock_timeout():
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '20ms'")
    yield
    connection.close()


class TestDeductBatch:
    def test_returns_results_in_order_of_the_items_not_of_the_balances(self):
        one, other = make_balance(), make_balance(grants=[(5, None)])

        results = deduct_batch(
            (other.owner, deduction(3)),
            (one.owner, deduction(10)),
            (make_user(), deduction(1)),
            (other.owner, deduction(3)),
            (None, operations.FeatureNotFoundError(feature="nothing")),
            (one.owner, deduction(10)),
        )

        assert codes(results) == [
            "paid",
            "paid",
            "balance_not_found",
            "insufficient_credits",
            "feature_not_found",
            "paid",
        ]
        assert [results[index].transaction.balance_after for index in (0, 1, 5)] == [2, 90, 80]
        for balance in (one, other):
            check_sums(balance)

    def test_aborts_an_atomic_batch_for_the_rejected_balance_only(self):
        one, other = make_balance(), make_balance(grants=[(5, None)])

        results = deduct_batch(
            (other.owner, deduction(3)), (one.owner, deduction(10)), (other.owner, deduction(3)), atomic=True
        )

        assert codes(results) == ["batch_aborted", "paid", "insufficient_credits"]
        other.refresh_from_db()
        assert (other.balance, other.sequence) == (5, 1)

    def test_processes_balances_one_after_another_in_order_of_id(self):
        balances = [make_balance() for _ in range(3)]

        with captured_statements() as run:
            deduct_batch(*[(balance.owner, deduction(1)) for balance in reversed(balances)] * 2)

        assert statement_kinds(run) == ["lock", "load", "tier facts", "write"] * 3
        for balance, lock in zip(sorted(balances, key=lambda balance: balance.pk), run[::4], strict=True):
            assert balance.pk.hex in lock

    def test_returns_no_results_for_no_items(self):
        assert deduct_batch() == []


@pytest.mark.django_db(transaction=True)
class TestDeductBatchWithALockedBalance:
    @pytest.mark.parametrize("atomic", [True, False])
    def test_returns_the_lock_timeout_for_the_locked_balance_and_deducts_from_the_others(self, atomic):
        locked, free = make_balance(), make_balance()
        items = [
            (locked.owner, deduction(1)),
            (free.owner, deduction(2)),
            (locked.owner, deduction(0)),
            (locked.owner, deduction(3)),
        ]

        with locked_in_other_thread(locked), short_lock_timeout():
            timeout, paid, rejected, same_timeout = deduct_batch(*items, atomic=atomic)

        assert isinstance(timeout, OperationalError)
        assert (same_timeout, paid.transaction.amount, rejected.code) == (timeout, -2, "invalid")
        check_sums(locked)
        assert (locked.balance, locked.sequence) == (100, 1)
