"""Staff actions on spending: limits, suspension."""

from typing import Any

from credits import operations
from fluxori.console.models import StaffAction
from fluxori.identity.errors import UserNotFoundError
from tests.fluxori.console.actions.helpers import perform
from tests.support.admin import text_of
from tests.support.factories.credits import make_balance, make_user
from tests.support.factories.identity import MembershipFactory
from tests.support.staff import action_url, fill_form


class TestSuspendSpending:
    def test_spending_can_be_suspended_and_resumed(self, client, balance):
        _, message, row = perform(client, action_url("suspend", balance), reason="fraud")
        url = action_url("resume", balance)
        client.post(url, {**fill_form(client, url), "confirmed": "yes"})

        assert message == f"Suspended spending of {balance.user}. Balance 120."
        assert (row.before["suspended_at"], row.after["suspended_at"] is None) == (None, False)
        balance.refresh_from_db()
        assert balance.suspended_at is None

    def test_resuming_spending_that_is_not_suspended_is_rejected_as_nothing_to_do(self, client, balance):
        url = action_url("resume", balance)

        assert "There is nothing to do." in text_of(client.post(url, fill_form(client, url)))


class TestSetLimit:
    def test_a_limit_of_the_balance_can_be_set_and_removed(self, client, balance):
        preview, message, row = perform(client, action_url("set_limit", balance), amount="50", period="day")
        url = action_url("remove_limit", balance, limit=balance.limits.get().pk)
        client.post(url, {**fill_form(client, url), "confirmed": "yes"})

        assert f"Limit {balance.user} to 50 credits per day" in preview
        assert message == f"Limited {balance.user} to 50 credits per day. Balance 120."
        limit = {"member": None, "period": "day", "amount": 50}
        assert (row.before["limits"], row.after["limits"]) == ([], [limit])
        removal = StaffAction.objects.get(action="remove_limit")
        assert (removal.before["limits"], removal.after["limits"]) == ([limit], [])
        assert client.get(url).status_code == 404

    def test_a_limit_of_a_member_can_be_set_by_email(self, client, db):
        membership: Any = MembershipFactory()
        user, organization = membership.user, membership.organization
        make_balance(organization)
        url = action_url("set_limit", organization)

        _, _, row = perform(client, url, amount="0", period="month", member=user.email.upper())

        assert row.after["limits"] == [{"member": str(user.pk), "period": "month", "amount": 0}]

    def test_setting_the_same_limit_again_is_rejected_as_nothing_to_do(self, client, balance):
        operations.set_limit(owner=balance.owner, amount=50, period="day")
        url = action_url("set_limit", balance)

        response = client.post(url, fill_form(client, url, amount="50", period="day"))

        assert "already in force" in text_of(response)

    def test_a_limit_of_a_member_needs_an_organization_and_an_existing_user(self, client, balance):
        url = action_url("set_limit", balance)

        unknown = client.post(url, fill_form(client, url, amount="5", period="day", member="unknown@example.test"))
        other = client.post(url, fill_form(client, url, amount="5", period="day", member=make_user().email))

        assert unknown.context["form"].non_field_errors() == [f"{UserNotFoundError.title}."]
        assert "Only an organization has members." in other.context["form"].non_field_errors()[0]
