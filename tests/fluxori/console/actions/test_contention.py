"""Concurrent staff actions and decisions: each is done once, and no ceiling is exceeded.

Each race runs several times.
"""

from functools import partial

import pytest

from credits.verification import verify_balance
from fluxori.console import queries
from fluxori.console.actions import operations
from fluxori.console.approvals import operations as approvals
from fluxori.console.models import ApprovalRequest, StaffAction
from tests.support.factories.credits import make_balance
from tests.support.staff import action_request, make_staff
from tests.support.threads import run_concurrently
from tests.support.times import NOON

ROUNDS = 5
CALLERS = 4

pytestmark = pytest.mark.django_db(transaction=True)


def outcome_of(operation, *args, **kwargs):
    """Return a call that returns "replayed" or "done"."""
    return lambda: "replayed" if operation(*args, **kwargs).replayed else "done"


def request_addition(balance, staff, amount=900):
    return approvals.request_approval(action_request("add", balance.user, staff, amount=amount)).row.pk


class TestConcurrentActions:
    def test_one_form_sent_concurrently_is_performed_once(self):
        staff = make_staff("support")
        for _ in range(ROUNDS):
            balance = make_balance(grants=[(100, None)])
            request = action_request("add", balance.user, staff, amount=7)

            outcomes = run_concurrently([outcome_of(operations.perform, request)] * CALLERS)

            balance.refresh_from_db()
            assert sorted(outcomes) == ["done"] + ["replayed"] * 3
            assert (balance.balance, StaffAction.objects.filter(balance=balance).count()) == (107, 1)
            assert verify_balance(balance.pk).differences == ()

    def test_concurrent_actions_open_one_balance(self):
        owner = make_staff("auditor")
        requests = [action_request("add", owner, make_staff("support"), amount=10) for _ in range(CALLERS)]

        assert run_concurrently([outcome_of(operations.perform, request) for request in requests]) == ["done"] * 4

        assert sorted(StaffAction.objects.values_list("before__balance", "after__balance")) == [
            (0, 10),
            (10, 20),
            (20, 30),
            (30, 40),
        ]

    def test_concurrent_actions_do_not_exceed_the_ceiling_per_day(self):
        for _ in range(ROUNDS):
            staff = make_staff("support")
            # The ceiling per day is 2,000: four of six fit, on whichever balances they are.
            requests = [action_request("add", make_balance().user, staff, amount=500) for _ in range(6)]

            outcomes = run_concurrently([outcome_of(operations.perform, request) for request in requests])

            assert sorted(outcomes) == ["ceiling_exceeded"] * 2 + ["done"] * 4
            assert queries.get_ceiling(staff, at=NOON).given_today == 2000

    def test_one_form_requests_approval_once(self):
        request = action_request("add", make_balance().user, make_staff("support"), amount=900)

        outcomes = run_concurrently([outcome_of(approvals.request_approval, request)] * CALLERS)

        assert sorted(outcomes) == ["done"] + ["replayed"] * 3
        assert ApprovalRequest.objects.count() == 1


class TestConcurrentDecisions:
    def test_concurrent_approvals_execute_the_action_once(self):
        support, leads = make_staff("support"), [make_staff("support lead") for _ in range(CALLERS)]
        for _ in range(ROUNDS):
            balance = make_balance(grants=[(100, None)])
            key = request_addition(balance, support)

            outcomes = run_concurrently(
                [outcome_of(approvals.approve, request_id=key, approver=lead, at=NOON) for lead in leads]
            )

            balance.refresh_from_db()
            assert sorted(outcomes) == ["done"] + ["request_decided"] * 3
            assert (balance.balance, StaffAction.objects.filter(balance=balance).count()) == (1000, 1)

    def test_of_concurrent_approval_withdrawal_and_decline_exactly_one_wins(self):
        support, lead, finance = make_staff("support"), make_staff("support lead"), make_staff("finance")
        for _ in range(ROUNDS):
            balance = make_balance(grants=[(100, None)])
            key = request_addition(balance, support)

            outcomes = run_concurrently(
                [
                    outcome_of(approvals.approve, request_id=key, approver=lead, at=NOON),
                    partial(approvals.withdraw, request_id=key, actor=support, at=NOON),
                    partial(approvals.decline, request_id=key, decider=finance, note="No", at=NOON),
                ]
            )

            balance.refresh_from_db()
            assert outcomes.count("request_decided") == 2
            assert balance.balance == (1000 if "done" in outcomes else 100)

    def test_concurrent_approvals_do_not_exceed_the_ceiling_per_day(self):
        support, lead = make_staff("support"), make_staff("support lead")
        keys = [request_addition(make_balance(), support, amount=5000) for _ in range(7)]

        outcomes = run_concurrently(
            [outcome_of(approvals.approve, request_id=key, approver=lead, at=NOON) for key in keys]
        )

        assert sorted(outcomes) == ["ceiling_exceeded"] * 2 + ["done"] * 5
