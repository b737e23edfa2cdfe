"""The statements of deductions, in order: one alone, ten that share a transaction, and a replay."""

import re
from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from credits import operations
from tests.support.deductions import run_behind_lock, run_in_first_queue, usage_commits
from tests.support.factories.credits import deduct, hold, make_balance
from tests.support.times import DAY, HOUR, NOON

pytestmark = pytest.mark.django_db(transaction=True)

Recorded = list[list[str]]

LOCK_AVAILABLE = "lock if available"
LOCK = "lock"
LOAD = "load balance states"
TIER_FACTS = "read tier facts"
WRITE = "write"
COUNT_REJECTED = "count rejected attempt"


KIND_BY_START = {
    "-- Balances with everything": LOAD,
    "-- Count rejected attempts": COUNT_REJECTED,
    "WITH balances AS": WRITE,
}


def kind_of(sql):
    """Return what a statement is for. Tables are quoted in the queries of Django only."""
    if "FOR NO KEY UPDATE" in sql:
        return LOCK_AVAILABLE if sql.endswith("SKIP LOCKED") else LOCK
    if (match := re.match(r'\s*SELECT .*?\sFROM "?(\w+)', sql, re.DOTALL)) is not None:
        return TIER_FACTS if match[1] == "tiers_subscription" else f"read {match[1]}"
    return next((kind for start, kind in KIND_BY_START.items() if sql.startswith(start)), sql)


def recording(call, recorded):
    """Return ``call``, with the kinds of its statements appended to ``recorded`` as one list."""

    def run():
        with CaptureQueriesContext(connection) as captured:
            result = call()
        recorded.append([kind_of(query["sql"]) for query in captured])
        return result

    return run


ALONE = ["BEGIN", LOCK_AVAILABLE, LOAD, TIER_FACTS, WRITE, "COMMIT"]


class TestOneDeduction:
    def test_locks_loads_reads_tier_facts_writes_and_commits(self):
        balance = make_balance()
        recorded: Recorded = []

        recording(partial(deduct, balance, 1), recorded)()

        assert recorded == [ALONE]

    def test_needs_no_more_statements_for_a_key_due_events_and_many_grants(self):
        balance = make_balance(grants=[(1, DAY)] * 5 + [(2, HOUR), (100, None)])
        recorded: Recorded = []
        hold(balance, 2, expires_in=HOUR)

        recording(partial(deduct, balance, 50, at=NOON + 2 * HOUR, idempotency_key="k"), recorded)()

        assert recorded == [ALONE]
        assert set(balance.transactions.values_list("type", flat=True)) == {"promotion", "expiry", "usage"}


class TestTenDeductions:
    def test_of_one_balance_share_the_statements_of_one(self):
        balance = make_balance()
        recorded: Recorded = []
        calls = [recording(partial(deduct, balance, 1, idempotency_key=f"k{n}"), recorded) for n in range(10)]

        run_behind_lock(calls, balance)

        # The leader looks for a free balance first, and then waits for the lock of this one.
        leader = ["BEGIN", LOCK_AVAILABLE, "COMMIT", "BEGIN", LOCK, LOAD, TIER_FACTS, WRITE, "COMMIT"]
        assert sorted(recorded, key=len) == [[]] * 9 + [leader]
        assert usage_commits(balance) == 1

    def test_of_ten_balances_share_the_statements_of_one(self):
        balances = [make_balance() for _ in range(10)]
        recorded: Recorded = []

        run_in_first_queue([recording(partial(deduct, balance, 1), recorded) for balance in balances])

        assert sorted(recorded, key=len) == [[]] * 9 + [ALONE]
        assert [usage_commits(balance) for balance in balances] == [1] * 10


class TestAReplay:
    def test_locks_loads_commits_and_reads_the_stored_transaction(self):
        balance = make_balance()
        recorded: Recorded = []
        deduct(balance, 1, idempotency_key="k")

        result = recording(partial(deduct, balance, 1, idempotency_key="k"), recorded)()

        assert result.replayed
        assert recorded == [
            [
                *["BEGIN", LOCK_AVAILABLE, LOAD, "COMMIT"],
                *["read credits_credittransaction", "read credits_creditentry", "read credits_creditgrant"],
            ]
        ]


class TestARejectedDeduction:
    def test_locks_and_loads_but_does_not_write_the_ledger(self):
        balance = make_balance(grants=[(1, None)])
        recorded: Recorded = []

        def deduct_too_much():
            with pytest.raises(operations.InsufficientCreditsError):
                deduct(balance, 2)

        recording(deduct_too_much, recorded)()

        assert recorded == [["BEGIN", LOCK_AVAILABLE, LOAD, "COMMIT", COUNT_REJECTED]]
