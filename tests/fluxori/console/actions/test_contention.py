"""Staff at the same thing at once: it happens once, and the day's ceiling is never passed. Each race is run often."""

from functools import partial

import pytest

from credits.verification import verify_balance
from fluxori.console import queries
from fluxori.console.actions import operations
from fluxori.console.models import ApprovalRequest, StaffAction
from tests.support.factories.credits import make_balance
from tests.support.staff import in_role, order
from tests.support.threads import run_concurrently
from tests.support.times import NOON

ROUNDS = 5
CALLERS = 4

pytestmark = pytest.mark.django_db(transaction=True)


def again_or_not(perform):
    return lambda: "again" if perform().again else "done"


class TestStaffUnderContention:
    def test_send_one_form_twice_and_act_once(self):
        staff = in_role("support")
        for _ in range(ROUNDS):
            balance = make_balance(grants=[(100, None)])
            asked = order("add", balance.user, staff, amount=7)

            outcomes = run_concurrently([again_or_not(lambda asked=asked: operations.perform(asked))] * CALLERS)

            balance.refresh_from_db()
            assert sorted(outcomes) == ["again"] * 3 + ["done"]
            assert (balance.balance, StaffAction.objects.filter(balance=balance).count()) == (107, 1)
            assert verify_balance(balance.pk).differences == ()

    def test_open_a_balance_together(self):
        whom = in_role("auditor")
        several = [order("add", whom, in_role("support"), amount=10) for _ in range(CALLERS)]

        assert (
            run_concurrently([again_or_not(lambda one=one: operations.perform(one)) for one in several]) == ["done"] * 4
        )

        assert sorted(StaffAction.objects.values_list("before__balance", "after__balance")) == [
            (0, 10),
            (10, 20),
            (20, 30),
            (30, 40),
        ]

    def test_never_pass_the_ceiling_of_a_day(self):
        for _ in range(ROUNDS):
            staff = in_role("support")
            # 2,000 a day: four of these fit, on whichever balances they are.
            several = [order("add", make_balance().user, staff, amount=500) for _ in range(6)]

            outcomes = run_concurrently([again_or_not(lambda one=one: operations.perform(one)) for one in several])

            assert sorted(outcomes) == ["ceiling_exceeded"] * 2 + ["done"] * 4
            assert queries.ceiling_of(staff, at=NOON).given_today == 2000

    def test_ask_once(self):
        staff, balance = in_role("support"), make_balance()
        asked = order("add", balance.user, staff, amount=900)

        outcomes = run_concurrently([again_or_not(lambda: operations.request_act(asked))] * CALLERS)

        assert sorted(outcomes) == ["again"] * 3 + ["done"]
        assert ApprovalRequest.objects.count() == 1


class TestApproversUnderContention:
    def test_approve_once(self):
        support, leads = in_role("support"), [in_role("support lead") for _ in range(CALLERS)]
        for _ in range(ROUNDS):
            balance = make_balance(grants=[(100, None)])
            asked = operations.request_act(order("add", balance.user, support, amount=900)).row

            def approve(lead, asked=asked):
                return again_or_not(lambda: operations.approve(request_id=asked.pk, approver=lead, at=NOON))

            outcomes = run_concurrently([approve(lead) for lead in leads])

            balance.refresh_from_db()
            assert sorted(outcomes) == ["done"] + ["request_decided"] * 3
            assert (balance.balance, StaffAction.objects.filter(balance=balance).count()) == (1000, 1)

    def test_and_whoever_withdraws_or_declines_have_one_way(self):
        support, lead, finance = in_role("support"), in_role("support lead"), in_role("finance")
        for _ in range(ROUNDS):
            balance = make_balance(grants=[(100, None)])
            key = operations.request_act(order("add", balance.user, support, amount=900)).row.pk

            outcomes = run_concurrently(
                [
                    again_or_not(lambda key=key: operations.approve(request_id=key, approver=lead, at=NOON)),
                    partial(operations.withdraw, request_id=key, actor=support, at=NOON),
                    partial(operations.decline, request_id=key, decider=finance, note="No", at=NOON),
                ]
            )

            balance.refresh_from_db()
            assert outcomes.count("request_decided") == 2
            assert balance.balance == (1000 if "done" in outcomes else 100)

    def test_never_pass_their_ceiling_of_a_day(self):
        support, lead = in_role("support"), in_role("support lead")
        keys = [
            operations.request_act(order("add", make_balance().user, support, amount=5000)).row.pk for _ in range(7)
        ]

        outcomes = run_concurrently(
            [again_or_not(lambda key=key: operations.approve(request_id=key, approver=lead, at=NOON)) for key in keys]
        )

        assert sorted(outcomes) == ["ceiling_exceeded"] * 2 + ["done"] * 5
