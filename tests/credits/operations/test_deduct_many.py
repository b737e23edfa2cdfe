from typing import Any

import pytest
from django.db import IntegrityError

from credits import operations
from credits.operations import Deduction
from credits.verification import verify_balance
from tests.credits.operations.verbs import change_tier, make_tier_balance, subscribe
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.tiers import make_capped_tier, month
from tests.support.operations import (
    captured_statements,
    check_balance,
    check_replay,
    check_sums,
    reject_deductions_of_13,
    statement_kinds,
    unchanged,
)
from tests.support.times import DAY, HOUR, NOON

MANY = 53

pytestmark = pytest.mark.django_db


def deduction(amount, **arguments):
    return Deduction(amount=amount, description="Spent in a test", **arguments)


def deduct_many(balance, *deductions, at=NOON, **arguments):
    return operations.deduct_many(owner=balance.owner, deductions=deductions, at=at, **arguments)


def deduct_all_or_none(balance, *deductions, at=NOON):
    return deduct_many(balance, *deductions, at=at, atomic=True)


def many_deductions():
    return [deduction(1, idempotency_key=f"k{n}") for n in range(MANY)]


def codes(results):
    return [getattr(result, "code", "paid") for result in results]


class TestDeductMany:
    def test_returns_a_result_for_each_deduction_in_order(self):
        balance = make_balance()

        results = deduct_many(balance, deduction(10), Deduction(feature="simple-ai-insight"), deduction(1))

        assert [result.transaction.amount for result in results] == [-10, -9, -1]
        assert [result.transaction.balance_after for result in results] == [90, 81, 80]
        assert [result.transaction.sequence for result in results] == [2, 3, 4]
        assert [result.balance.version for result in results] == [2, 3, 4]
        check_sums(balance)

    def test_continues_each_deduction_where_the_one_before_stopped(self):
        balance = make_balance(grants=[(15, DAY), (15, None)])

        first, second = deduct_many(balance, deduction(10), deduction(10))

        assert [entry.amount for entry in first.transaction.entries] == [-10]
        assert [entry.amount for entry in second.transaction.entries] == [-5, -5]

    def test_does_not_let_a_rejected_deduction_affect_the_others(self):
        not_text: Any = ["simple-ai-insight"]
        balance = make_balance(grants=[(20, None)])

        results = deduct_many(
            balance,
            deduction(10),
            deduction(11),
            deduction(0),
            Deduction(feature="nothing"),
            Deduction(feature="a\x00b"),
            Deduction(feature=not_text),
            deduction(10, idempotency_key=""),
            deduction(10),
        )

        assert codes(results) == [
            "paid",
            "insufficient_credits",
            "invalid",
            "feature_not_found",
            "invalid",
            "invalid",
            "invalid",
            "paid",
        ]
        assert results[1].facts == {"required": 11, "available": 10, "held": 0, "shortfall": 1}
        check_sums(balance)

    def test_writes_nothing_if_all_are_rejected(self):
        balance = make_balance(grants=[(20, DAY)])

        with unchanged():
            results = deduct_many(balance, deduction(1), deduction(0), at=NOON + DAY)

        assert codes(results) == ["insufficient_credits", "invalid"]

    def test_returns_no_results_for_no_deductions(self):
        assert deduct_many(make_balance()) == []

    def test_rejects_each_valid_deduction_if_the_owner_has_no_balance(self):
        deductions = [deduction(1), deduction(0), deduction(2)]

        results = operations.deduct_many(owner=make_user(), deductions=deductions, at=NOON)

        assert codes(results) == ["balance_not_found", "invalid", "balance_not_found"]

    def test_returns_an_error_of_the_caller_in_its_place(self):
        balance = make_balance()
        error = operations.FeatureNotFoundError(feature="nothing")

        results = deduct_many(balance, deduction(1), error, deduction(2))

        assert codes(results) == ["paid", "feature_not_found", "paid"]
        assert results[1] is error

    def test_deducts_once_for_a_key_that_occurs_twice(self):
        balance = make_balance()

        first, repeated, different, last = deduct_many(
            balance,
            deduction(10, idempotency_key="k"),
            deduction(10, idempotency_key="k"),
            deduction(11, idempotency_key="k"),
            deduction(5),
        )

        check_replay(first, repeated)
        assert different.code == "idempotency_key_reused"
        assert last.transaction.balance_after == 85

    def test_accepts_a_key_again_after_a_rejected_deduction(self):
        balance = make_balance(grants=[(10, None)])

        rejected, paid = deduct_many(balance, deduction(11, idempotency_key="k"), deduction(10, idempotency_key="k"))

        assert (rejected.code, paid.transaction.amount) == ("insufficient_credits", -10)

    def test_returns_the_first_results_for_the_same_keys(self):
        balance = make_balance()
        subscribe(balance, "growth")
        deductions = [deduction(amount, idempotency_key=f"k{amount}") for amount in (1, 2, 3)]
        first = deduct_many(balance, *deductions)
        deduct(balance, 94)
        change_tier(balance, "pro")

        with unchanged():
            repeated = deduct_many(balance, *deductions)

        for one, other in zip(first, repeated, strict=True):
            check_replay(one, other)
        assert {result.tier_facts.tier for result in repeated} == {"growth"}

    @pytest.mark.parametrize("count", [1, 50])
    def test_runs_four_statements_lock_load_tier_facts_write_for_any_number(self, count):
        balance = make_balance(grants=[(1, DAY)] * 20 + [(1000, None)])
        deductions = [Deduction(feature="simple-ai-insight", idempotency_key=f"k{n}") for n in range(count)]

        with captured_statements() as run:
            results = deduct_many(balance, *deductions)

        assert statement_kinds(run) == ["lock", "load", "tier facts", "write"]
        assert run[-1].count("UPDATE credits_creditbalance") == 1
        assert sum(result.transaction.amount for result in results) == -9 * count
        check_sums(balance)

    @pytest.mark.parametrize("count", [1, 50])
    def test_runs_no_write_for_a_replay_and_reads_the_transactions_at_once(self, count):
        balance = make_balance(grants=[(1000, None)])
        deductions = [Deduction(feature="simple-ai-insight", idempotency_key=f"k{n}") for n in range(count)]
        deduct_many(balance, *deductions)

        with captured_statements() as run:
            deduct_many(balance, *deductions)

        assert statement_kinds(run) == [
            "lock",
            "load",
            "read credits_credittransaction",
            "read credits_creditentry",
            "read credits_creditgrant",
        ]

    def test_equals_the_same_deductions_one_after_another(self):
        # The rollover of the first month's credits is written with the first deduction.
        make_capped_tier(cap=80)
        balance, other = (make_tier_balance("capped") for _ in range(2))
        later = month(1) + HOUR

        results = deduct_many(balance, *many_deductions(), at=later)
        single = [deduct(other, 1, later, idempotency_key=f"k{n}") for n in range(MANY)]

        assert [(result.transaction.sequence, result.transaction.balance_after) for result in results] == [
            (result.transaction.sequence, result.transaction.balance_after) for result in single
        ]
        check_balance(balance)

    def test_leaves_due_expiries_unwritten_if_all_are_rejected(self):
        balance = make_balance(grants=[(1, DAY)] * 20)

        [rejected] = deduct_many(balance, deduction(1), at=NOON + DAY)

        assert rejected.code == "insufficient_credits"
        assert verify_balance(balance.pk).differences == ()
        operations.add_credits(owner=balance.owner, amount=5, type="promotion", at=NOON + DAY)
        assert verify_balance(balance.pk).differences == ()
        balance.refresh_from_db()
        assert (balance.balance, balance.sequence) == (5, 41)

    def test_mixes_new_deductions_replays_and_errors(self):
        balance = make_balance(grants=[(32, None)])

        results = deduct_many(balance, *many_deductions(), deduction(1, idempotency_key="k0"))

        assert codes(results[:MANY]) == ["paid"] * 32 + ["insufficient_credits"] * (MANY - 32)
        check_replay(results[0], results[-1])
        check_balance(balance)

    @pytest.mark.django_db(transaction=True)
    def test_writes_nothing_if_the_database_rejects_one_row(self):
        balance = make_balance()

        with reject_deductions_of_13(), unchanged(), pytest.raises(IntegrityError):
            deduct_many(balance, *many_deductions(), deduction(13))


class TestDeductManyAtomic:
    def test_writes_all_if_none_is_rejected(self):
        balance = make_balance()

        results = deduct_all_or_none(balance, deduction(10), deduction(20))

        assert [result.transaction.balance_after for result in results] == [90, 70]
        check_sums(balance)

    @pytest.mark.parametrize(
        ("rejected", "code"),
        [
            (deduction(91), "insufficient_credits"),
            (deduction(0), "invalid"),
            (Deduction(feature="nothing"), "feature_not_found"),
            (operations.BalanceNotFoundError(), "balance_not_found"),
        ],
    )
    def test_writes_nothing_if_one_is_rejected_not_even_due_expiries(self, rejected, code):
        balance = make_balance(grants=[(100, None), (5, DAY)])

        with unchanged():
            results = deduct_all_or_none(balance, deduction(10), rejected, deduction(20), at=NOON + DAY)

        assert codes(results) == ["batch_aborted", code, "batch_aborted"]

    def test_writes_nothing_if_the_last_of_many_is_rejected(self):
        balance = make_balance()

        with unchanged():
            results = deduct_all_or_none(balance, *many_deductions(), deduction(1000))

        assert codes(results) == ["batch_aborted"] * MANY + ["insufficient_credits"]

    def test_returns_each_rejected_deduction_with_its_own_error(self):
        balance = make_balance(grants=[(10, None)])

        with unchanged():
            results = deduct_all_or_none(balance, deduction(6), deduction(6), deduction(4), deduction(1))

        assert codes(results) == ["batch_aborted", "insufficient_credits", "batch_aborted", "insufficient_credits"]

    def test_counts_nothing_toward_a_limit_if_it_is_aborted(self):
        balance = make_balance()
        operations.set_limit(owner=balance.owner, period="day", amount=50, at=NOON)

        with unchanged():
            results = deduct_all_or_none(balance, deduction(30), deduction(30))

        assert codes(results) == ["batch_aborted", "spending_limit_reached"]
        assert results[1].facts["used"] == 30
        assert codes(deduct_all_or_none(balance, deduction(30), deduction(20))) == ["paid", "paid"]
        assert verify_balance(balance.pk).differences == ()

    def test_stores_no_key_if_it_is_aborted(self):
        balance = make_balance()
        first, second = deduction(60, idempotency_key="a"), deduction(60, idempotency_key="b")
        deduct_all_or_none(balance, first, second)
        make_balance(balance.owner, [(20, None)])

        results = deduct_all_or_none(balance, first, second)

        assert [result.replayed for result in results] == [False, False]
        check_sums(balance)

    def test_returns_the_first_results_for_the_same_keys(self):
        balance = make_balance()
        deductions = [deduction(60, idempotency_key="a"), deduction(40, idempotency_key="b")]
        first = deduct_all_or_none(balance, *deductions)

        with unchanged():
            repeated = deduct_all_or_none(balance, *deductions)

        for one, other in zip(first, repeated, strict=True):
            check_replay(one, other)

    def test_returns_transactions_of_earlier_requests_even_if_it_is_aborted(self):
        balance = make_balance()
        earlier = deduct(balance, 10, idempotency_key="a")

        with unchanged():
            repeated, new, new_again, rejected = deduct_all_or_none(
                balance,
                deduction(10, idempotency_key="a"),
                deduction(5, idempotency_key="b"),
                deduction(5, idempotency_key="b"),
                deduction(86),
            )

        check_replay(earlier, repeated)
        assert codes([new, new_again, rejected]) == ["batch_aborted", "batch_aborted", "insufficient_credits"]
        check_sums(balance)
