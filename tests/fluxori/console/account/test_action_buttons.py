"""Buttons for staff actions: each appears where the action fits the row and the user has its permission."""

import pytest
from django.urls import reverse

from credits import operations
from credits.models import CreditTransaction
from fluxori.console.links import action_url
from fluxori.core import clock
from tests.fluxori.console.account.helpers import get_account, make_busy_balance
from tests.support.admin import staff_client, text_of
from tests.support.factories.credits import deduct, hold, make_balance
from tests.support.factories.tiers import make_subscribed_balance
from tests.support.times import DAY
from tiers import operations as tiers

pytestmark = pytest.mark.django_db


class TestAccountButtons:
    def test_only_permitted_actions_have_buttons(self):
        balance = make_busy_balance(clock.now())
        client = staff_client("credits.view_creditbalance", "console.refund_usage", "console.release_hold")
        usage = CreditTransaction.objects.filter(balance=balance, type="usage").order_by("sequence")
        [open_hold] = balance.holds.filter(status="open")

        page = text_of(get_account(balance, client))

        assert all(action_url("refund", balance.pk, transaction=row.pk) in page for row in usage)
        assert action_url("release", balance.pk, hold=open_hold.pk) in page
        assert action_url("add", balance.pk) not in page
        assert "/void/" not in page

    def test_a_user_who_may_only_view_has_no_buttons(self):
        balance = make_busy_balance(clock.now())

        page = text_of(get_account(balance, staff_client("credits.view_creditbalance")))

        assert "/staffaction/do/" not in page

    def test_a_limit_can_be_changed_and_removed(self):
        balance = make_busy_balance(clock.now())
        [limit] = balance.limits.all()
        client = staff_client("credits.view_creditbalance", "console.limit_spending")

        page = text_of(get_account(balance, client))

        change = action_url("set_limit", balance.pk, amount=200, period="month", member="")
        assert change in page
        assert client.get(change).context["form"]["amount"].value() == "200"
        assert action_url("remove_limit", balance.pk, limit=limit.pk) in page

    def test_a_scheduled_tier_change_can_be_cancelled(self):
        balance = make_subscribed_balance(tier="growth")
        client = staff_client("credits.view_creditbalance", "tiers.view_subscription", "console.change_tier")
        cancel = action_url("cancel_tier_change", balance.pk)
        assert cancel not in text_of(get_account(balance, client))

        tiers.update_subscription_tier(owner=balance.owner, tier="explorer", effective="nextPeriod")

        subscription = client.get(reverse("admin:tiers_subscription_change", args=[balance.pk]))
        for page in (get_account(balance, client), subscription):
            assert cancel in text_of(page)
            assert "Cancel what is scheduled" in text_of(page)

    def test_a_paused_subscription_can_be_resumed_and_an_ended_one_has_no_buttons(self):
        balance = make_subscribed_balance()
        client = staff_client("credits.view_creditbalance", "console.change_tier")
        codes = ("tier", "pause_subscription", "resume_subscription", "end_subscription")

        def shown():
            page = text_of(get_account(balance, client))
            return page, [code for code in codes if action_url(code, balance.pk) in page]

        assert shown()[1] == ["tier", "pause_subscription", "end_subscription"]
        tiers.pause_subscription(owner=balance.owner)
        page, buttons = shown()
        assert "paused since" in page
        assert buttons == ["tier", "resume_subscription", "end_subscription"]
        tiers.end_subscription(owner=balance.owner, effective="nextPeriod")
        assert "ends" in shown()[0]
        tiers.end_subscription(owner=balance.owner)
        page, buttons = shown()
        assert ("ended" in page, buttons) == (True, [])

    def test_suspended_spending_can_be_resumed(self):
        balance = make_balance()
        client = staff_client("credits.view_creditbalance", "console.suspend_spending")
        operations.suspend_spending(owner=balance.owner, reason="Looked odd")

        page = text_of(get_account(balance, client))

        assert action_url("resume", balance.pk) in page
        assert action_url("suspend", balance.pk) not in page

    def test_refunded_usage_has_no_refund_button(self):
        balance = make_balance()
        usage = deduct(balance, 5).transaction
        operations.refund_usage(transaction_id=usage.id, reason="It failed")

        assert action_url("refund", balance.pk, transaction=usage.id) not in text_of(get_account(balance))


class TestRowButtons:
    def page(self, client, model, row):
        return text_of(client.get(reverse(f"admin:credits_{model}_change", args=[row.pk])))

    def test_a_grant_without_an_expiry_cannot_be_extended(self):
        balance = make_balance(grants=[(100, None), (20, 5000 * DAY)])
        permanent, expiring = balance.grants.order_by("pk")
        client = staff_client("credits.view_creditgrant", "console.extend_grant", "console.void_grant")

        assert action_url("extend", balance.pk, grant=expiring.pk) in self.page(client, "creditgrant", expiring)
        assert action_url("extend", balance.pk, grant=permanent.pk) not in self.page(client, "creditgrant", permanent)
        assert action_url("void", balance.pk, grant=permanent.pk) in self.page(client, "creditgrant", permanent)

    def test_a_hold_can_be_released_while_it_is_open(self):
        balance = make_balance()
        row = hold(balance, 5, at=clock.now())
        client = staff_client("credits.view_credithold", "console.release_hold")
        release = action_url("release", balance.pk, hold=row.pk)
        assert release in self.page(client, "credithold", row)

        operations.release_hold(hold_id=row.pk)

        assert release not in self.page(client, "credithold", row)

    def test_a_user_who_may_only_view_has_no_buttons(self):
        grant = make_balance().grants.get()

        assert "/staffaction/do/" not in self.page(staff_client("credits.view_creditgrant"), "creditgrant", grant)
