"""Acts above a ceiling, refunds and double clicks, in a real browser, by people in their roles."""

import pytest
from django.urls import reverse

from credits import operations
from fluxori.console.models import ApprovalRequest, StaffAction
from tests.browser.conftest import PASSWORD
from tests.support.factories.credits import make_balance
from tests.support.staff import action_url, make_staff

pytestmark = pytest.mark.django_db(transaction=True)


def member(role: str):
    person = make_staff(role)
    person.set_password(PASSWORD)
    person.save()
    return person


def fill(page, **asked: str) -> None:
    page.select_option("[name=reason]", "goodwill")
    for name, value in asked.items():
        page.fill(f"[name={name}]", value)
    with page.expect_navigation():
        page.click("button:has-text('Continue')")


def press(page, words: str) -> None:
    with page.expect_navigation():
        page.click(f"button:has-text('{words}')")


class TestActsOfStaff:
    def test_above_the_ceiling_are_asked_for_and_approved_by_another(self, desk):
        balance = make_balance(grants=[(120, None)])
        support, lead = member("support"), member("support lead")
        button = f"Add 900 credits to {balance.user}"

        asking = desk(support.email)
        asking.page.goto(action_url("add", balance))
        fill(asking.page, amount="900", note="Three failed reports", ticket="SUP-4711")
        assert "you may give 500 in one act" in asking.text()
        assert "120 → 1,020" in asking.text()
        press(asking.page, f"Ask for approval: {button}")
        assert "nothing has happened yet" in asking.page.inner_text("body")
        assert asking.page.locator("button:has-text('Approve')").count() == 0

        deciding = desk(lead.email)
        deciding.page.goto(reverse("admin:console_approvalrequest_changelist"))
        with deciding.page.expect_navigation():
            deciding.page.locator("#result_list a").first.click()
        assert "Three failed reports" in deciding.text()
        press(deciding.page, f"Approve: {button}")

        done = StaffAction.objects.get()
        assert (done.actor, done.approver, done.summary) == (
            support,
            lead,
            f"Added 900 credits to {balance.user}. Balance 120 → 1,020.",
        )
        assert done.summary in deciding.page.inner_text("body")
        assert ApprovalRequest.objects.get().status == "approved"

    def test_give_back_what_a_usage_took(self, desk):
        balance = make_balance(grants=[(120, None)])
        usage = operations.deduct_credits(owner=balance.owner, feature="ai-generated-report")
        staff = desk(member("support").email)

        staff.page.goto(action_url("refund", balance, transaction=usage.transaction.id))
        assert staff.page.input_value("[name=amount]") == "40"
        fill(staff.page)
        assert "80 → 120" in staff.text()
        press(staff.page, f"Refund 40 credits to {balance.user}")

        balance.refresh_from_db()
        assert balance.balance == 120
        assert f"Refunded 40 credits to {balance.user}" in staff.page.inner_text("body")

    def test_happen_once_though_the_button_is_pressed_twice(self, desk):
        balance = make_balance(grants=[(120, None)])
        staff = desk(member("support").email)
        staff.page.goto(action_url("add", balance))
        fill(staff.page, amount="50")

        staff.page.dblclick(f"button:has-text('Add 50 credits to {balance.user}')", no_wait_after=True)
        staff.page.wait_for_url("**/creditbalance/**")
        staff.page.wait_for_load_state("networkidle")

        balance.refresh_from_db()
        assert balance.balance == 170
        assert StaffAction.objects.count() == 1
