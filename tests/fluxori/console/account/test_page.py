"""The account page: its figures, its sections and what it costs."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse

from credits import operations
from credits.models import RejectedAttempt
from fluxori.core import clock
from fluxori.identity.models import Membership
from tests.fluxori.console.account.helpers import get_account, make_busy_balance
from tests.support.admin import count_queries, staff_client, superuser_client, text_of
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.times import DAY, HOUR, MINUTE

pytestmark = pytest.mark.django_db


class TestAccountPage:
    def test_due_expiries_are_deducted_before_they_are_recorded(self):
        now = clock.now()
        balance = make_balance(grants=[(100, None), (40, DAY)], at=now - 2 * DAY)

        response = get_account(balance)

        assert (response.context["now"].available, response.context["due"]) == (100, 1)
        balance.refresh_from_db()
        assert balance.balance == 140

    def test_every_section_shows_its_rows(self):
        balance = make_busy_balance(clock.now())

        page = " ".join(text_of(get_account(balance)).split())

        for text in (
            "Karoo Outfitters",
            "Explorer",
            "Next allocation",
            "Purchase</a> at R0.11 per credit",
            "of 200<small>per month",
            "Members",
            "refund #4",
            "usage #3",
            "captured from",
            "Not enough credits, for AI-generated report",
            "40 required, 12 available",
            "No staff actions on this account yet.",
            "Usage in the last 90 days",
        ):
            assert text in page, text

    def test_grants_are_in_burn_order(self):
        balance = make_balance(grants=[(100, None), (20, 5000 * DAY)])

        grants = get_account(balance).context["grants"]

        assert [row.grant.amount for row in grants] == [20, 100]

    def test_the_usage_chart_adds_roll_ups_and_later_transactions(self):
        now = clock.now()
        balance = make_balance(at=now - 30 * DAY)
        deduct(balance, 7, at=now - 20 * DAY)
        operations.aggregate_usage(balance_ids=[balance.pk], most=100)
        deduct(balance, 5, at=now - HOUR)
        operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", at=now - MINUTE)

        usage = get_account(balance).context["usage"]

        assert [(name, total) for name, total, _ in usage["legend"]] == [("By amount", 12), ("Simple AI insight", 9)]
        assert usage["total"] == 21

    def test_an_account_without_credits_says_so(self):
        balance = make_balance(grants=[(5, None)])
        deduct(balance, 5)

        page = text_of(get_account(balance))

        assert "All grants of this account are spent or have ended." in page

    def test_amounts_in_rand_need_a_permission(self):
        balance = make_balance(type="purchase", unit_price=Decimal("0.11"))

        page = text_of(get_account(balance, staff_client("credits.view_creditbalance")))

        assert "R0.11" not in page

    def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(self, django_assert_max_num_queries):
        now = clock.now()
        balance = make_busy_balance(now)
        client = superuser_client()
        for n in range(30):
            deduct(balance, 1, at=now - MINUTE + timedelta(seconds=n), actor=make_user(), member=make_user())
        for _ in range(15):
            Membership.objects.create(organization_id=balance.pk, user=make_user())

        with django_assert_max_num_queries(33) as captured:
            assert get_account(balance, client).status_code == 200

        assert count_queries(captured) == []


class TestRejectedAttempts:
    def test_the_account_links_to_its_rejected_attempts(self):
        balance = make_busy_balance(clock.now())
        RejectedAttempt.objects.create(
            balance=make_balance(), hour=clock.now(), code="spending_suspended", count=1, last_at=clock.now()
        )
        client = superuser_client()
        url = reverse("admin:credits_rejectedattempt_changelist") + f"?balance={balance.pk}"

        account, attempts = get_account(balance, client), client.get(url)

        assert f'href="{url}"' in text_of(account)
        assert [row.balance_id for row in attempts.context["cl"].result_list] == [balance.pk]
        assert "Not enough credits" in text_of(attempts)
        assert "40 required, 12 available" in text_of(attempts)


class TestAccess:
    def test_a_balance_that_was_never_opened_redirects(self):
        url = reverse("admin:credits_creditbalance_change", args=[make_user().pk])

        assert superuser_client().get(url).status_code == 302

    def test_the_account_needs_the_permission_to_view_balances(self):
        assert get_account(make_balance(), staff_client()).status_code == 403

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_the_account_accepts_no_input(self, method):
        url = reverse("admin:credits_creditbalance_change", args=[make_balance().pk])

        assert getattr(superuser_client(), method)(url).status_code == 403

    @pytest.mark.parametrize("rest", ["1/nonsense/", "x/1/", "1/0/extra/"])
    def test_the_view_on_site_redirect_of_django_is_not_available(self, rest):
        assert superuser_client().get(f"/admin/r/{rest}").status_code == 404
