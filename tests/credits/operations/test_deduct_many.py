from typing import Any

import pytest

from credits import operations
from credits.operations import Deduction
from tests.credits.operations.ledger import check_sums, statements, unchanged
from tests.factories.credits import deduct, funded, somebody
from tests.times import DAY, NOON

pytestmark = pytest.mark.django_db


def spend(amount, **said):
    return Deduction(amount=amount, description="Spent in a test", **said)


def deduct_all(balance, *deductions, at=NOON):
    return operations.deduct_many(owner=balance.owner, deductions=deductions, at=at)


class TestDeductMany:
    def test_answers_each_in_order(self):
        balance = funded()

        outcomes = deduct_all(balance, spend(10), Deduction(feature="simple-ai-insight"), spend(1))

        assert [said.amount for said in outcomes] == [-10, -9, -1]
        assert [said.balance_after for said in outcomes] == [90, 81, 80]
        assert [said.sequence for said in outcomes] == [2, 3, 4]
        assert [said.after.version for said in outcomes] == [2, 3, 4]
        check_sums(balance)

    def test_draws_each_where_the_one_before_stopped(self):
        balance = funded(grants=[(15, DAY), (15, None)])

        first, second = deduct_all(balance, spend(10), spend(10))

        assert [part.amount for part in first.entries.all()] == [-10]
        assert [part.amount for part in second.entries.all()] == [-5, -5]

    def test_lets_no_refusal_touch_the_others(self):
        no_text: Any = ["simple-ai-insight"]
        balance = funded(grants=[(20, None)])

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

        assert [getattr(outcome, "code", "paid") for outcome in outcomes] == [
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
        balance = funded(grants=[(20, DAY)])

        with unchanged():
            outcomes = deduct_all(balance, spend(1), spend(0), at=NOON + DAY)

        assert [outcome.code for outcome in outcomes] == ["insufficient_credits", "invalid"]

    def test_answers_nothing_to_nothing(self):
        assert deduct_all(funded()) == []

    def test_needs_a_balance(self):
        with pytest.raises(operations.BalanceNotFoundError):
            operations.deduct_many(owner=somebody(), deductions=[spend(1)], at=NOON)

    def test_takes_once_for_a_key_that_comes_twice(self):
        balance = funded()

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
        balance = funded(grants=[(10, None)])

        refused, paid = deduct_all(balance, spend(11, idempotency_key="k"), spend(10, idempotency_key="k"))

        assert (refused.code, paid.amount) == ("insufficient_credits", -10)

    def test_replays_each_of_an_earlier_batch(self):
        balance = funded()
        batch = [spend(amount, idempotency_key=f"k{amount}") for amount in (1, 2, 3)]
        first = deduct_all(balance, *batch)
        deduct(balance, 94)

        with unchanged():
            again = deduct_all(balance, *batch)

        assert [(said.pk, said.after) for said in again] == [(said.pk, said.after) for said in first]

    def test_asks_the_database_no_more_for_fifty_than_for_one(self):
        balance = funded(grants=[(1, DAY)] * 20 + [(1000, None)])
        batch = [Deduction(feature="simple-ai-insight", idempotency_key=f"k{n}") for n in range(50)]

        with statements() as run:
            outcomes = deduct_all(balance, *batch)

        assert len(run) <= 5
        assert sum(said.amount for said in outcomes) == -450
        check_sums(balance)

    def test_nor_for_their_replay_but_for_reading_what_was_recorded(self):
        balance = funded(grants=[(1000, None)])
        batch = [Deduction(feature="simple-ai-insight", idempotency_key=f"k{n}") for n in range(50)]
        deduct_all(balance, *batch)

        with statements() as run:
            deduct_all(balance, *batch)

        assert len(run) <= 7
