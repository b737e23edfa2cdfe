"""Concurrent corrections of the same transaction or grant; each race runs several rounds."""

from datetime import timedelta

import pytest

from tests.credits.operations.verbs import (
    adjust_credits,
    expire_credits,
    extend_grant,
    first_transaction,
    refund_usage,
    reverse_purchase,
    void_grant,
)
from tests.support.factories.credits import deduct, make_balance
from tests.support.operations import check_balance
from tests.support.threads import run_concurrently
from tests.support.times import HOUR, MINUTE, NOON

CALLERS = 4
ROUNDS = 6
EXPIRES_IN = 15 * MINUTE
EXPIRES_AT = NOON + EXPIRES_IN
JUST_BEFORE = EXPIRES_AT - timedelta(microseconds=1)

pytestmark = pytest.mark.django_db(transaction=True)


def paying(balance, amount):
    return lambda: deduct(balance, amount) and "paid"


def refunding(usage, amount=None):
    return lambda: refund_usage(usage, amount) and "refunded"


def expiring(balance):
    return lambda: expire_credits(balance, at=EXPIRES_AT)["credits"]


class TestRefundUsageUnderContention:
    def test_never_refunds_more_than_was_used(self):
        balance = make_balance(grants=[(1000, None)])

        for _ in range(ROUNDS):
            usage = deduct(balance, 60).transaction

            outcomes = run_concurrently([refunding(usage, 25)] * CALLERS)

            assert sorted(outcomes) == ["refund_exceeds_usage"] * 2 + ["refunded"] * 2

        check_balance(balance)
        assert balance.balance == 1000 - 10 * ROUNDS

    def test_refunds_a_whole_usage_once(self):
        balance = make_balance(grants=[(1000, None)])

        for _ in range(ROUNDS):
            usage = deduct(balance, 60).transaction

            outcomes = run_concurrently([refunding(usage)] * CALLERS)

            assert sorted(outcomes) == ["refund_exceeds_usage"] * 3 + ["refunded"]

        check_balance(balance)
        assert balance.balance == 1000

    def test_expires_refunded_credits_exactly_once_next_to_the_expiry_job(self):
        for _ in range(ROUNDS):
            balance = make_balance(grants=[(100, EXPIRES_IN)])
            usage = deduct(balance, 60).transaction

            outcomes = run_concurrently([expiring(balance), refunding(usage, 30)] * 2)

            # A refund after the first run of the job expires at once; no run of the job has to do it.
            assert outcomes[1::2] == ["refunded", "refunded"]
            assert sum(outcomes[::2]) in {100, 70, 40}
            check_balance(balance)
            assert balance.balance == 0
            assert sum(balance.transactions.filter(type="expiry").values_list("amount", flat=True)) == -100


class TestReversePurchaseUnderContention:
    def test_never_reverses_more_than_was_bought(self):
        balance = make_balance(type="purchase")
        purchase = first_transaction(balance)

        def reverse():
            return reverse_purchase(purchase) and "reversed"

        outcomes = run_concurrently([reverse, paying(balance, 30)] * CALLERS)

        assert (outcomes.count("reversed"), outcomes.count("reversal_exceeds_purchase")) == (1, CALLERS - 1)
        check_balance(balance)
        assert balance.balance == -balance.debt == -30 * outcomes.count("paid")


class TestVoidGrantUnderContention:
    def test_takes_the_remaining_credits_once(self):
        balance = make_balance()
        grant = balance.grants.get()

        has_transaction = run_concurrently([lambda: void_grant(grant).transaction is not None] * CALLERS)

        assert sorted(has_transaction) == [False] * 3 + [True]
        check_balance(balance)
        assert balance.balance == 0


class TestExtendGrantUnderContention:
    def test_either_extends_a_grant_or_finds_it_expired(self):
        for _ in range(ROUNDS):
            balance = make_balance(grants=[(100, EXPIRES_IN)])
            grant = balance.grants.get()

            def extend(grant=grant):
                return extend_grant(grant, EXPIRES_AT + HOUR, at=JUST_BEFORE) and "extended"

            outcomes = run_concurrently([expiring(balance), extend])

            assert outcomes in [[0, "extended"], [100, "grant_not_extendable"]]
            check_balance(balance)
            assert balance.balance == (100 if "extended" in outcomes else 0)


class TestAdjustCreditsUnderContention:
    def test_never_takes_credits_that_a_deduction_has_spent(self):
        balance = make_balance()

        def adjust():
            return adjust_credits(balance, -30) and "adjusted"

        outcomes = run_concurrently([adjust, paying(balance, 30)] * CALLERS)

        assert outcomes.count("insufficient_credits") == 5
        check_balance(balance)
        assert balance.balance == 10
