"""Aggregation next to other aggregations, usage and reads: nothing is lost, counted twice, or made to wait."""

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


def aggregate(*balances, most=10**6):
    return sum(operations.aggregate_usage(balance_ids=[b.pk for b in balances], most=most).values())


def used(balance):
    return usage.get_usage(owner=balance.owner, from_=NOON, to=NOON + DAY, at=NOON + DAY).total.used


def check_totals(*balances):
    assert [verify_balance(balance.pk).differences for balance in balances] == [()] * len(balances)
    assert verify_global().differences == ()


class TestAggregateUsageUnderContention:
    def test_adds_each_transaction_once_in_concurrent_runs(self):
        balance = make_balance(grants=[(1000, None)])

        for _ in range(6):
            for _ in range(5):
                deduct(balance, 1)
            assert sum(run_concurrently([partial(aggregate, balance)] * CALLERS)) == 5 + (balance.sequence == 1)
            balance.refresh_from_db()

        assert UsageWatermark.objects.get(balance=balance).sequence == balance.sequence == 31
        check_totals(balance)

    def test_loses_no_total_in_concurrent_runs_for_other_balances(self):
        balances = [make_balance(grants=[(1000, None)]) for _ in range(CALLERS)]

        for _ in range(6):
            for balance in balances:
                operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", at=NOON)
                deduct(balance, 1)
            run_concurrently([partial(aggregate, balance) for balance in balances])

        assert set(CreditTotal.objects.values_list("type", "feature", "credits_out", "count")) == {
            ("promotion", None, 0, CALLERS),
            ("usage", None, 6 * CALLERS, 6 * CALLERS),
            ("usage", "simple-ai-insight", 9 * 6 * CALLERS, 6 * CALLERS),
        }
        check_totals(*balances)

    def test_adds_concurrent_usage_once(self):
        balance = make_balance(grants=[(1000, None)])

        def spend():
            for _ in range(SPENT):
                deduct(balance, 1)

        def run():
            return sum(aggregate(balance, most=3) for _ in range(SPENT))

        _, _, *aggregated = run_concurrently([spend, spend, run, run])
        aggregated.append(aggregate(balance))

        assert sum(aggregated) == 1 + 2 * SPENT
        check_totals(balance)
        assert used(balance) == 2 * SPENT

    def test_does_not_change_what_a_concurrent_read_shows(self):
        balance = make_balance(grants=[(1000, None)])
        operations.deduct_many(
            owner=balance.owner, deductions=[operations.Deduction(amount=1, description="d")] * 200, at=NOON
        )

        def run():
            try:
                while aggregate(balance, most=2):
                    pass
            finally:
                connection.close()

        with ThreadPoolExecutor(max_workers=1) as pool:
            aggregation = pool.submit(run)
            results = set()
            while not aggregation.done():
                results.add(used(balance))
            aggregation.result()

        assert results == {200}
        check_totals(balance)


class TestAggregateUsageLocks:
    def test_does_not_wait_for_the_lock_of_a_balance(self):
        balance = make_balance()

        def with_short_lock_timeout():
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '50ms'")
            return aggregate(balance)

        with hold_lock(balance):
            assert run_concurrently([with_short_lock_timeout]) == [1]

    def test_does_not_make_a_deduction_wait(self):
        balance = make_balance()

        def with_short_lock_timeout():
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '50ms'")
            return deduct(balance, 5) and "paid"

        with transaction.atomic():
            aggregate(balance)
            assert run_concurrently([with_short_lock_timeout]) == ["paid"]

        assert aggregate(balance) == 1
        check_totals(balance)
