"""Deductions, holds and added credits share one transaction: the result of each, and what a rejection leaves."""

from collections.abc import Callable
from functools import partial
from threading import local
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from credits import operations
from credits.engine import operation_queue as queue_module
from credits.engine.deductions import Deduction, DeductionRequest
from credits.engine.idempotency import build_request
from credits.engine.operation_queue import process_group
from credits.engine.plan_grants import AddRequest
from credits.models import CreditBalance, CreditHold, RejectedAttempt
from fluxori.core.errors import DomainError
from fluxori.db.group_commit import GroupCommitQueue
from fluxori.identity.owner import Owner
from tests.credits.operations.verbs import add_credits, capture_hold, place_hold, release_hold
from tests.support.deductions import check_balance, deduction, run_behind_lock, run_in_first_queue
from tests.support.factories.credits import make_balance, make_user
from tests.support.threads import run_concurrently
from tests.support.times import HOUR, MINUTE, NOON

pytestmark = pytest.mark.django_db(transaction=True)


def commits(balance):
    """Return how many database transactions wrote the rows of a balance, those of its first credits included."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT x) FROM (SELECT xmin::text FROM credits_credittransaction WHERE balance_id = %(id)s"
            " UNION ALL SELECT xmin::text FROM credits_credithold WHERE balance_id = %(id)s) AS rows (x)",
            {"id": balance.pk},
        )
        [number] = cursor.fetchone()
    return int(number)


def codes(outcomes):
    return [outcome.code if isinstance(outcome, DomainError) else type(outcome).__name__ for outcome in outcomes]


class TestOneBalance:
    def test_all_kinds_share_one_transaction_in_order_of_arrival(self):
        balance = make_balance()
        captured, released = place_hold(balance, 10).hold, place_hold(balance, 20).hold
        before = commits(balance)

        outcomes = run_behind_lock(
            [
                deduction(balance, 1),
                partial(capture_hold, captured, 7),
                partial(place_hold, balance, 5),
                partial(release_hold, released),
                partial(add_credits, balance.owner, 50),
                deduction(balance, 2),
            ],
            balance,
        )

        # The rows of the closed holds have the new transaction instead of their own.
        assert commits(balance) == before + 1 - 2
        assert [outcome.balance.available for outcome in outcomes] == [69, 72, 67, 87, 137, 135]
        assert list(balance.transactions.order_by("sequence").values_list("amount", flat=True)) == [100, -1, -7, 50, -2]
        check_balance(balance)

    def test_each_is_planned_at_its_own_instant(self):
        balance = make_balance()
        placed = place_hold(balance, 40).hold

        late, early = run_behind_lock(
            [partial(capture_hold, placed, at=NOON + HOUR), deduction(balance, 60, at=NOON + MINUTE)], balance
        )

        # The hold has lapsed when the capture happens, but not when the deduction does.
        assert (late.facts["hold_status"], early.balance.held) == ("lapsed", 40)
        check_balance(balance)

    def test_a_rejection_does_not_affect_the_others(self):
        balance = make_balance()
        placed = place_hold(balance, 40).hold

        outcomes = run_behind_lock(
            [
                partial(capture_hold, placed, 101),
                partial(place_hold, balance, 61),
                partial(add_credits, balance.owner, 1, expires_at=NOON),
                partial(release_hold, placed),
                partial(capture_hold, placed),
                partial(place_hold, balance, 100),
            ],
            balance,
        )

        assert codes(outcomes) == [
            "insufficient_credits",
            "insufficient_credits",
            "invalid",
            "HoldResult",
            "hold_closed",
            "HoldResult",
        ]
        assert outcomes[4].facts["hold_status"] == "released"
        check_balance(balance)

    def test_a_key_that_occurs_twice_takes_effect_once(self):
        balance = make_balance()
        placed = place_hold(balance, 40).hold

        outcomes = run_behind_lock(
            [
                partial(place_hold, balance, 5, idempotency_key="place"),
                partial(place_hold, balance, 5, idempotency_key="place"),
                partial(capture_hold, placed, idempotency_key="capture"),
                partial(capture_hold, placed, idempotency_key="capture"),
                partial(add_credits, balance.owner, 9, idempotency_key="add"),
                partial(add_credits, balance.owner, 9, idempotency_key="add"),
            ],
            balance,
        )

        assert [outcome.replayed for outcome in outcomes] == [False, True] * 3
        assert outcomes[0].hold == outcomes[1].hold
        assert outcomes[2].transaction == outcomes[3].transaction
        balance.refresh_from_db()
        assert (balance.balance, balance.held) == (69, 5)
        check_balance(balance)

    def test_rejected_attempts_of_a_group_are_counted_by_one_statement(self):
        balance = make_balance()
        placed = place_hold(balance, 40).hold
        counted: list[dict[str, str]] = []

        def recording(call):
            def run():
                with CaptureQueriesContext(connection) as captured:
                    try:
                        return call()
                    finally:
                        counted.extend(q for q in captured if "-- Count rejected attempts" in q["sql"])

            return run

        calls = [deduction(balance, 61), partial(place_hold, balance, 61), partial(capture_hold, placed, 101)]
        run_behind_lock([recording(call) for call in calls], balance)

        assert len(counted) == 1
        assert [row.count for row in RejectedAttempt.objects.filter(balance=balance)] == [3]


class TestSeveralBalances:
    def test_share_one_transaction(self):
        balances, groups = [make_balance() for _ in range(3)], []
        placed = place_hold(balances[0], 10).hold
        calls: list[Callable[[], Any]] = [
            partial(capture_hold, placed),
            partial(place_hold, balances[1], 5),
            partial(add_credits, balances[2].owner, 9),
            deduction(balances[1], 1),
        ]

        outcomes = run_in_first_queue(calls, lambda group: groups.append(len(group)))

        assert groups == [4]
        assert [outcome.balance.available for outcome in outcomes] == [90, 95, 109, 94]
        for balance in balances:
            check_balance(balance)


class TestFirstCredits:
    def test_of_a_group_open_the_balance_once(self):
        user = make_user()

        outcomes = run_in_first_queue([partial(add_credits, user, amount) for amount in (1, 2, 4)])

        assert codes(outcomes) == ["TransactionResult"] * 3
        balance = CreditBalance.objects.get(pk=user.pk)
        assert balance.balance == 7
        check_balance(balance)

    def test_that_are_rejected_leave_no_balance(self):
        user = make_user()
        rejected = partial(add_credits, user, 5, expires_at=NOON)
        spent = partial(operations.deduct_credits, owner=user, amount=1, description="In a test", at=NOON)

        outcomes = run_in_first_queue([rejected, spent, rejected])

        assert codes(outcomes) == ["invalid", "balance_not_found", "invalid"]
        assert not CreditBalance.objects.filter(pk=user.pk).exists()

    def test_do_not_pay_for_a_deduction_before_them(self):
        owner = Owner.of(make_user())
        spend = DeductionRequest.of(Deduction(amount=1, description="In a test"), NOON)
        identity = build_request("add_credits", actor=None, key=None)
        add = AddRequest(5, "promotion", {}, {}, identity, NOON)

        with transaction.atomic():
            outcomes = process_group(owner, lambda: [(owner, each) for each in (spend, add, spend)])

        assert codes(outcomes) == ["balance_not_found", "OperationResult", "OperationResult"]
        check_balance(CreditBalance.objects.get(pk=owner.id))


class QueueOfEachThread:
    """One queue a thread, as if each was a process: only the locks of the balances keep them apart."""

    def __init__(self):
        self.queues = local()

    def run(self, owner, request):
        if not hasattr(self.queues, "own"):
            self.queues.own = GroupCommitQueue(process_group, busy_error=operations.BusyError, queue_limit=lambda: 9)
        return self.queues.own.run(owner, request)


class TestManyProcesses:
    def test_lose_no_credits_with_holds_captures_releases_and_additions(self, monkeypatch):
        balance = make_balance(grants=[(200, None)])
        monkeypatch.setattr(queue_module, "operation_queue", QueueOfEachThread())

        def work(thread):
            for turn in range(3):
                placed = place_hold(balance, 5).hold
                if (thread + turn) % 3:
                    capture_hold(placed, 4)
                else:
                    release_hold(placed)
                add_credits(balance.owner, 2)

        run_concurrently([partial(work, thread) for thread in range(6)])

        check_balance(balance)
        assert (balance.balance, balance.held) == (200 + 18 * 2 - 12 * 4, 0)
        assert CreditHold.objects.filter(balance=balance, status="captured").count() == 12
