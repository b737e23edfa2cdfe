"""Staff actions in a browser: approval of an action above a ceiling, a refund, and a double click."""

import pytest
from django.urls import reverse

from credits import operations
from fluxori.console.models import ApprovalRequest, StaffAction
from fluxori.core import clock
from tests.browser.conftest import PASSWORD
from tests.support.factories.credits import make_balance
from tests.support.factories.tiers import make_subscribed_balance
from tests.support.staff import action_url, make_staff

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def make_staff_with_password(role: str):
    user = make_staff(role)
    user.set_password(PASSWORD)
    user.save()
    return user


def fill_and_continue(page, **values: str) -> None:
    page.select_option("[name=reason]", "goodwill")
    for name, value in values.items():
        page.fill(f"[name={name}]", value)
    with page.expect_navigation():
        page.click("button:has-text('Continue')")


def press(page, label: str) -> None:
    with page.expect_navigation():
        page.click(f"button:has-text('{label}')")


class TestStaffActions:
    def test_an_action_above_the_ceiling_is_requested_and_approved_by_another_person(self, log_in):
        balance = make_balance(grants=[(120, None)])
        support, lead = make_staff_with_password("support"), make_staff_with_password("support lead")
        button = f"Add 900 credits to {balance.user}"

        requester = log_in(support.email)
        requester.page.goto(action_url("add", balance))
        fill_and_continue(requester.page, amount="900", note="Three failed reports", ticket="SUP-4711")
        assert "The ceiling is 500 credits per action." in requester.text()
        assert "120 → 1,020" in requester.text()
        press(requester.page, f"Request approval: {button}")
        assert "Nothing changes until a second person approves." in requester.page.inner_text("body")
        assert requester.page.locator("button:has-text('Approve')").count() == 0

        approver = log_in(lead.email)
        approver.page.goto(reverse("admin:console_approvalrequest_changelist"))
        with approver.page.expect_navigation():
            approver.page.locator("#result_list a").first.click()
        assert "Three failed reports" in approver.text()
        press(approver.page, f"Approve: {button}")

        action = StaffAction.objects.get()
        assert (action.actor, action.approver, action.summary) == (
            support,
            lead,
            f"Added 900 credits to {balance.user}. Balance 120 → 1,020.",
        )
        assert action.summary in approver.page.inner_text("body")
        assert ApprovalRequest.objects.get().status == "approved"

    def test_a_subscription_is_paused_resumed_and_ended(self, log_in):
        balance = make_subscribed_balance(at=clock.now())
        account = reverse("admin:credits_creditbalance_change", args=[balance.pk])
        staff = log_in(make_staff_with_password("support lead").email)

        for label, shown in (
            ("Pause subscription", "paused since"),
            ("Resume subscription", "Next allocation"),
            ("End subscription", "ends"),
            ("Cancel what is scheduled", "Next allocation"),
        ):
            staff.page.goto(account)
            with staff.page.expect_navigation():
                staff.page.click(f"a:has-text('{label}')")
            fill_and_continue(staff.page)
            press(staff.page, label.split()[0])
            staff.page.goto(account)
            assert shown in staff.text()

        staff.page.goto(reverse("admin:tiers_subscription_change", args=[balance.pk]))
        assert "pause: explorer → explorer" in staff.text()

    def test_a_refund_suggests_the_whole_usage(self, log_in):
        balance = make_balance(grants=[(120, None)])
        usage = operations.deduct_credits(owner=balance.owner, feature="ai-generated-report")
        staff = log_in(make_staff_with_password("support").email)

        staff.page.goto(action_url("refund", balance, transaction=usage.transaction.id))
        assert staff.page.input_value("[name=amount]") == "40"
        fill_and_continue(staff.page)
        assert "80 → 120" in staff.text()
        press(staff.page, f"Refund 40 credits to {balance.user}")

        balance.refresh_from_db()
        assert balance.balance == 120
        assert f"Refunded 40 credits to {balance.user}" in staff.page.inner_text("body")

    def test_a_double_click_performs_an_action_once(self, log_in):
        balance = make_balance(grants=[(120, None)])
        staff = log_in(make_staff_with_password("support").email)
        staff.page.goto(action_url("add", balance))
        fill_and_continue(staff.page, amount="50")

        staff.page.dblclick(f"button:has-text('Add 50 credits to {balance.user}')", no_wait_after=True)
        staff.page.wait_for_url("**/creditbalance/**")
        staff.page.wait_for_load_state("networkidle")

        balance.refresh_from_db()
        assert balance.balance == 170
        assert StaffAction.objects.count() == 1
