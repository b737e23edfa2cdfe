"""Folding while others fold, spend and ask: nothing is lost, nothing counted twice, nobody waits for the fold."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import connection, transaction

from credits import operations
from credits.models import CreditTotal, UsageWatermark
from credits.queries import usage
from credits.verification import verify_balance, verify_global
from tests.support.factories.credits import deduct, make_balance
from tests.support.threads import hold_lock, run_concurrently
from tests.support.times import DAY, NOON

pytestmark = pytest.mark.django_db(transaction=True)

CALLERS = 4
SPENT = 30


def fold(*balances, most=10**6):
    return sum(operations.aggregate_usage(balance_ids=[b.pk for b in balances], most=most).values())


def used(balance):
    return usage.get_usage(owner=balance.owner, from_=NOON, to=NOON + DAY, at=NOON + DAY).total.used


def sound(*balances):
    assert [verify_balance(balance.pk).differences for balance in balances] == [()] * len(balances)
    assert verify_global().differences == ()


class TestFoldUsageUnderContention:
    def test_adds_each_transaction_once_when_run_at_once(self):
        balance = make_balance(grants=[(1000, None)])

        for _ in range(6):
            for _ in range(5):
                deduct(balance, 1)
            assert sum(run_concurrently([partial(fold, balance)] * CALLERS)) == 5 + (balance.sequence == 1)
            balance.refresh_from_db()

        assert UsageWatermark.objects.get(balance=balance).sequence == balance.sequence == 31
        sound(balance)

    def test_loses_no_total_when_other_balances_are_folded_at_once(self):
        balances = [make_balance(grants=[(1000, None)]) for _ in range(CALLERS)]

        for _ in range(6):
            for balance in balances:
                operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", at=NOON)
                deduct(balance, 1)
            run_concurrently([partial(fold, balance) for balance in balances])

        assert set(CreditTotal.objects.values_list("type", "feature", "credits_out", "count")) == {
            ("promotion", None, 0, CALLERS),
            ("usage", None, 6 * CALLERS, 6 * CALLERS),
            ("usage", "simple-ai-insight", 9 * 6 * CALLERS, 6 * CALLERS),
        }
        sound(*balances)

    def test_adds_what_is_spent_meanwhile_once(self):
        balance = make_balance(grants=[(1000, None)])

        def spend():
            for _ in range(SPENT):
                deduct(balance, 1)

        def run():
            return sum(fold(balance, most=3) for _ in range(SPENT))

        _, _, *folded = run_concurrently([spend, spend, run, run])
        folded.append(fold(balance))

        assert sum(folded) == 1 + 2 * SPENT
        sound(balance)
        assert used(balance) == 2 * SPENT

    def test_shows_in_no_answer_while_it_runs(self):
        balance = make_balance(grants=[(1000, None)])
        operations.deduct_many(
            owner=balance.owner, deductions=[operations.Deduction(amount=1, description="d")] * 200, at=NOON
        )

        def run():
            try:
                while fold(balance, most=2):
                    pass
            finally:
                connection.close()

        with ThreadPoolExecutor(max_workers=1) as pool:
            folding = pool.submit(run)
            answers = set()
            while not folding.done():
                answers.add(used(balance))
            folding.result()

        assert answers == {200}
        sound(balance)


class TestFoldUsageBesideSpending:
    def test_does_not_wait_for_a_balance_that_is_locked(self):
        balance = make_balance()

        def impatient():
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '50ms'")
            return fold(balance)

        with hold_lock(balance):
            assert run_concurrently([impatient]) == [1]

    def test_keeps_no_spending_waiting(self):
        balance = make_balance()

        def impatient():
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '50ms'")
            return deduct(balance, 5) and "paid"

        with transaction.atomic():
            fold(balance)
            assert run_concurrently([impatient]) == ["paid"]

        assert fold(balance) == 1
        sound(balance)
