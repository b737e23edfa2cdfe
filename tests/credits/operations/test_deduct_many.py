from contextlib import contextmanager
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection

from credits import operations
from credits.models import CreditBalance
from credits.operations import Deduction
from credits.verification import verify_balance
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.tiers import make_capped_tier, month
from tests.support.operations import captured_statements, check_sums, reject_deductions_of_13, unchanged
from tests.support.threads import locked_in_other_thread
from tests.support.times import DAY, HOUR, NOON
from tiers import operations as tiers

pytestmark = pytest.mark.django_db

SEVERAL = 16


def spend(amount, **said):
    return Deduction(amount=amount, description="Spent in a test", **said)


def deduct_all(balance, *deductions, at=NOON):
    return operations.deduct_many(owner=balance.owner, deductions=deductions, at=at)


def together(balance, *deductions, at=NOON):
    return operations.deduct_many(owner=balance.owner, deductions=deductions, atomic=True, at=at)


def batch(*items, atomic=False):
    return operations.deduct_batch(items=items, atomic=atomic, at=NOON)


def subscribed(tier):
    user = make_user()
    tiers.initialize_balance(owner=user, tier=tier, at=NOON)
    return CreditBalance.objects.get(pk=user.pk)


@contextmanager
def impatient():
    """Wait for a lock no longer than a blink."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '20ms'")
    yield
    connection.close()


def codes(outcomes):
    return [getattr(outcome, "code", "paid") for outcome in outcomes]


class TestDeductMany:
    def test_answers_each_in_order(self):
        balance = make_balance()

        outcomes = deduct_all(balance, spend(10), Deduction(feature="simple-ai-insight"), spend(1))

        assert [said.amount for said in outcomes] == [-10, -9, -1]
        assert [said.balance_after for said in outcomes] == [90, 81, 80]
        assert [said.sequence for said in outcomes] == [2, 3, 4]
        assert [said.after.version for said in outcomes] == [2, 3, 4]
        check_sums(balance)

    def test_draws_each_where_the_one_before_stopped(self):
        balance = make_balance(grants=[(15, DAY), (15, None)])

        first, second = deduct_all(balance, spend(10), spend(10))

        assert [part.amount for part in first.entries.all()] == [-10]
        assert [part.amount for part in second.entries.all()] == [-5, -5]

    def test_lets_no_refusal_touch_the_others(self):
        no_text: Any = ["simple-ai-insight"]
        balance = make_balance(grants=[(20, None)])

        outcomes = deduct_all(
            balance,
            spend(10),
            spend(11),
            spend(0),
            Deduction(feature="nothing"),
            Deduction(feature="a\x00b"),
            Deduction(feature=no_text),
            spend(10, idempotency_key=""),
            spend(10),
        )

        assert codes(outcomes) == [
            "paid",
            "insufficient_credits",
            "invalid",
            "feature_not_found",
            "invalid",
            "invalid",
            "invalid",
            "paid",
        ]
        assert outcomes[1].facts == {"required": 11, "available": 10, "held": 0, "shortfall": 1}
        check_sums(balance)

    def test_writes_nothing_when_all_are_refused(self):
        balance = make_balance(grants=[(20, DAY)])

        with unchanged():
            outcomes = deduct_all(balance, spend(1), spend(0), at=NOON + DAY)

        assert [outcome.code for outcome in outcomes] == ["insufficient_credits", "invalid"]

    def test_answers_nothing_to_nothing(self):
        assert deduct_all(make_balance()) == []

    def test_refuses_each_where_there_is_no_balance(self):
        outcomes = operations.deduct_many(owner=make_user(), deductions=[spend(1), spend(0), spend(2)], at=NOON)

        assert codes(outcomes) == ["balance_not_found", "invalid", "balance_not_found"]

    def test_gives_what_was_refused_already_its_place(self):
        balance = make_balance()
        refused = operations.FeatureNotFoundError(feature="nothing")

        outcomes = deduct_all(balance, spend(1), refused, spend(2))

        assert codes(outcomes) == ["paid", "feature_not_found", "paid"]
        assert outcomes[1] is refused

    def test_takes_once_for_a_key_that_comes_twice(self):
        balance = make_balance()

        first, again, other, last = deduct_all(
            balance,
            spend(10, idempotency_key="k"),
            spend(10, idempotency_key="k"),
            spend(11, idempotency_key="k"),
            spend(5),
        )

        assert (again.pk, again.after, again.replayed) == (first.pk, first.after, True)
        assert other.code == "idempotency_key_reused"
        assert last.balance_after == 85

    def test_lets_a_key_be_tried_again_after_its_refusal(self):
        balance = make_balance(grants=[(10, None)])

        refused, paid = deduct_all(balance, spend(11, idempotency_key="k"), spend(10, idempotency_key="k"))

        assert (refused.code, paid.amount) == ("insufficient_credits", -10)

    def test_replays_each_of_an_earlier_batch(self):
        balance = make_balance()
        batch = [spend(amount, idempotency_key=f"k{amount}") for amount in (1, 2, 3)]
        first = deduct_all(balance, *batch)
        deduct(balance, 94)

        with unchanged():
            again = deduct_all(balance, *batch)

        assert [(said.pk, said.after) for said in again] == [(said.pk, said.after) for said in first]

    def test_runs_as_many_statements_for_fifty_as_for_one(self):
        balance = make_balance(grants=[(1, DAY)] * 20 + [(1000, None)])
        batch = [Deduction(feature="simple-ai-insight", idempotency_key=f"k{n}") for n in range(50)]

        with captured_statements() as run:
            outcomes = deduct_all(balance, *batch)

        lock, read, *writes = run
        assert "FOR NO KEY UPDATE" in lock
        assert "FROM credits_creditbalance" in read
        assert [sql.count("UPDATE credits_creditbalance") for sql in writes] == [1]
        assert sum(said.amount for said in outcomes) == -450
        check_sums(balance)

    def test_nor_for_their_replay_but_for_reading_what_was_recorded(self):
        balance = make_balance(grants=[(1000, None)])
        batch = [Deduction(feature="simple-ai-insight", idempotency_key=f"k{n}") for n in range(50)]
        deduct_all(balance, *batch)

        with captured_statements() as run:
            deduct_all(balance, *batch)

        assert len(run) == 4


class TestDeductManyTogether:
    def test_takes_all_where_none_is_refused(self):
        balance = make_balance()

        outcomes = together(balance, spend(10), spend(20))

        assert [said.balance_after for said in outcomes] == [90, 70]
        check_sums(balance)

    @pytest.mark.parametrize(
        ("refused", "code"),
        [
            (spend(91), "insufficient_credits"),
            (spend(0), "invalid"),
            (Deduction(feature="nothing"), "feature_not_found"),
            (operations.BalanceNotFoundError(), "balance_not_found"),
        ],
    )
    def test_takes_nothing_where_one_is_refused(self, refused, code):
        # Credits that have expired meanwhile are not written down either.
        balance = make_balance(grants=[(100, None), (5, DAY)])

        with unchanged():
            outcomes = together(balance, spend(10), refused, spend(20), at=NOON + DAY)

        assert codes(outcomes) == ["batch_aborted", code, "batch_aborted"]

    def test_refuses_each_for_its_own_reason(self):
        balance = make_balance(grants=[(10, None)])

        with unchanged():
            outcomes = together(balance, spend(6), spend(6), spend(4), spend(1))

        assert codes(outcomes) == ["batch_aborted", "insufficient_credits", "batch_aborted", "insufficient_credits"]

    def test_counts_nothing_of_a_limit_when_it_takes_nothing(self):
        balance = make_balance()
        operations.set_limit(owner=balance.owner, period="day", amount=50, at=NOON)

        with unchanged():
            outcomes = together(balance, spend(30), spend(30))

        assert codes(outcomes) == ["batch_aborted", "spending_limit_reached"]
        assert outcomes[1].facts["used"] == 30
        assert codes(together(balance, spend(30), spend(20))) == ["paid", "paid"]
        assert verify_balance(balance.pk).differences == ()

    def test_uses_no_key_up_when_it_takes_nothing(self):
        balance = make_balance()
        first, second = spend(60, idempotency_key="a"), spend(60, idempotency_key="b")
        together(balance, first, second)
        make_balance(balance.owner, [(20, None)])

        outcomes = together(balance, first, second)

        assert [said.replayed for said in outcomes] == [False, False]
        check_sums(balance)

    def test_answers_a_retry_of_all_as_the_first_time(self):
        balance = make_balance()
        batch = [spend(60, idempotency_key="a"), spend(40, idempotency_key="b")]
        first = together(balance, *batch)

        with unchanged():
            again = together(balance, *batch)

        assert [(said.pk, said.after, said.replayed) for said in again] == [
            (said.pk, said.after, True) for said in first
        ]

    def test_says_of_what_was_written_before_that_it_stands(self):
        balance = make_balance()
        before = deduct(balance, 10, idempotency_key="a")

        with unchanged():
            stands, twice, again, refused = together(
                balance,
                spend(10, idempotency_key="a"),
                spend(5, idempotency_key="b"),
                spend(5, idempotency_key="b"),
                spend(86),
            )

        assert (stands.pk, stands.replayed) == (before.transaction.id, True)
        assert codes([twice, again, refused]) == ["batch_aborted", "batch_aborted", "insufficient_credits"]
        check_sums(balance)


class TestDeductBatch:
    def test_answers_each_in_order_whatever_its_balance(self):
        one, other = make_balance(), make_balance(grants=[(5, None)])

        outcomes = batch(
            (other.owner, spend(3)),
            (one.owner, spend(10)),
            (make_user(), spend(1)),
            (other.owner, spend(3)),
            (None, operations.FeatureNotFoundError(feature="nothing")),
            (one.owner, spend(10)),
        )

        assert codes(outcomes) == [
            "paid",
            "paid",
            "balance_not_found",
            "insufficient_credits",
            "feature_not_found",
            "paid",
        ]
        assert [outcomes[place].balance_after for place in (0, 1, 5)] == [2, 90, 80]
        for balance in (one, other):
            check_sums(balance)

    def test_together_lets_other_balances_stand(self):
        one, other = make_balance(), make_balance(grants=[(5, None)])

        outcomes = batch((other.owner, spend(3)), (one.owner, spend(10)), (other.owner, spend(3)), atomic=True)

        assert codes(outcomes) == ["batch_aborted", "paid", "insufficient_credits"]
        other.refresh_from_db()
        assert (other.balance, other.sequence) == (5, 1)

    def test_locks_one_balance_after_another_in_order_of_id(self):
        balances = [make_balance() for _ in range(3)]

        with captured_statements() as run:
            batch(*[(balance.owner, spend(1)) for balance in reversed(balances)] * 2)

        locks = [sql for sql in run if "FOR NO KEY UPDATE" in sql]
        assert len(locks) == 3
        for balance, lock in zip(sorted(balances, key=lambda balance: balance.pk), locks, strict=True):
            assert str(balance.pk) in lock

    def test_answers_nothing_to_nothing(self):
        assert batch() == []


@pytest.mark.django_db(transaction=True)
class TestDeductBatchWhereABalanceIsBusy:
    @pytest.mark.parametrize("atomic", [True, False])
    def test_tells_the_fault_for_that_balance_and_serves_the_others(self, atomic):
        busy, free = make_balance(), make_balance()
        items = [(busy.owner, spend(1)), (free.owner, spend(2)), (busy.owner, spend(0)), (busy.owner, spend(3))]

        with locked_in_other_thread(busy), impatient():
            fault, paid, refused, again = batch(*items, atomic=atomic)

        assert isinstance(fault, OperationalError)
        assert (again, paid.amount, refused.code) == (fault, -2, "invalid")
        check_sums(busy)
        assert (busy.balance, busy.sequence) == (100, 1)


class TestDeductManyOfMoreThanFifty:
    MANY = 3 * SEVERAL + 5

    def spent(self, **said):
        return [spend(1, idempotency_key=f"k{n}", **said) for n in range(self.MANY)]

    def test_says_and_leaves_what_one_after_another_would(self):
        # That the first month's credits roll over is written with the first of them.
        make_capped_tier(cap=80)
        balance, other = (subscribed("capped") for _ in range(2))
        later = month(1) + HOUR

        together_ = deduct_all(balance, *self.spent(), at=later)
        apart = [deduct(other, 1, later, idempotency_key=f"k{n}") for n in range(self.MANY)]

        assert [said.transaction.balance_after for said in together_] == [
            said.transaction.balance_after for said in apart
        ]
        assert [said.transaction.sequence for said in together_] == [said.transaction.sequence for said in apart]
        assert verify_balance(balance.pk).differences == ()
        check_sums(balance)

    def test_leaves_what_has_only_expired_to_whoever_moves_something(self):
        balance = make_balance(grants=[(1, DAY)] * (SEVERAL + 4))

        [refused] = deduct_all(balance, spend(1), at=NOON + DAY)

        assert refused.code == "insufficient_credits"
        assert verify_balance(balance.pk).differences == ()
        operations.add_credits(owner=balance.owner, amount=5, type="promotion", at=NOON + DAY)
        assert verify_balance(balance.pk).differences == ()
        balance.refresh_from_db()
        assert (balance.balance, balance.sequence) == (5, 2 * (SEVERAL + 4) + 1)

    def test_refuses_and_replays_among_them(self):
        balance = make_balance(grants=[(2 * SEVERAL, None)])
        again = spend(1, idempotency_key="k0")

        outcomes = deduct_all(balance, *self.spent(), again)

        assert [getattr(said, "code", "paid") for said in outcomes[: self.MANY]] == ["paid"] * 2 * SEVERAL + [
            "insufficient_credits"
        ] * (SEVERAL + 5)
        assert outcomes[-1].replayed
        assert outcomes[-1].pk == outcomes[0].pk
        assert verify_balance(balance.pk).differences == ()
        check_sums(balance)

    @pytest.mark.django_db(transaction=True)
    def test_leaves_nothing_where_the_database_refuses_the_last(self):
        balance = make_balance()

        with reject_deductions_of_13(), unchanged(), pytest.raises(IntegrityError):
            deduct_all(balance, *self.spent(), spend(13))

    def test_writes_nothing_of_them_before_all_are_known_where_they_are_together(self):
        balance = make_balance()

        with unchanged():
            outcomes = together(balance, *self.spent(), spend(1000))

        assert {said.code for said in outcomes} == {"batch_aborted", "insufficient_credits"}
