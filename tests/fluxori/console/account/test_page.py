"""A balance seen whole, and a transaction that explains itself."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse

from credits import operations
from credits.models import CreditTransaction, RejectedAttempt
from fluxori.core import clock
from fluxori.identity.models import Membership, Organization
from tests.support.admin import count_queries, staff_client, superuser_client, text_of
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.tiers import make_subscribed_balance
from tests.support.times import DAY, HOUR, MINUTE
from tiers import operations as tiers

pytestmark = pytest.mark.django_db


def account(balance, client=None):
    return (client or superuser_client()).get(reverse("admin:credits_creditbalance_change", args=[balance.pk]))


def explained(transaction, client=None):
    return (client or superuser_client()).get(reverse("admin:credits_credittransaction_change", args=[transaction.pk]))


def act(name, balance, **on):
    query = "&".join(f"{key}={value}" for key, value in on.items())
    return reverse("admin:console_action", args=[name, balance.pk]) + (f"?{query}" if query else "")


def lived(at) -> Any:
    """Return the balance of a pool with something of everything on it, as of ``at``."""
    pool = Organization.objects.create(name="Karoo Outfitters")
    member = make_user()
    Membership.objects.create(organization=pool, user=member, role="owner")
    balance = make_subscribed_balance(owner=pool, at=at - 20 * DAY)
    make_balance(
        pool, grants=[(500, timedelta(days=90))], at=at - 19 * DAY, type="purchase", unit_price=Decimal("0.11")
    )
    operations.set_limit(owner=pool, amount=200, period="month", at=at - 18 * DAY)
    spend: dict[str, Any] = {"owner": pool, "actor": member, "member": member, "feature": "ai-generated-report"}
    paid = operations.deduct_credits(**spend, at=at - 3 * DAY)
    operations.refund_usage(
        transaction_id=paid.transaction.id, amount=10, reason="Half of it was empty", at=at - 2 * DAY
    )
    held = operations.place_hold(**spend, at=at - DAY)
    operations.capture_hold(hold_id=held.hold.id, at=at - DAY + MINUTE)
    operations.place_hold(**spend, at=at - MINUTE)
    RejectedAttempt.objects.create(
        balance=balance,
        hour=at.replace(minute=0, second=0, microsecond=0),
        code="insufficient_credits",
        feature="ai-generated-report",
        count=3,
        last_at=at,
        member_id=member.pk,
        facts={"required": 40, "available": 12, "held": 0, "shortfall": 28},
    )
    return balance


class TestTheAccountPage:
    def test_says_what_there_is_now_though_nothing_was_swept(self):
        now = clock.now()
        lapsed = make_balance(grants=[(100, None), (40, DAY)], at=now - 2 * DAY)

        response = account(lapsed)

        assert (response.context["now"].available, response.context["due"]) == (100, 1)
        lapsed.refresh_from_db()
        assert lapsed.balance == 140

    def test_shows_an_account_whole(self):
        balance = lived(clock.now())

        page = " ".join(text_of(account(balance)).split())

        for told in (
            "Karoo Outfitters",
            "Explorer",
            "Next allocation",
            "Purchase</a> at R0.11 a credit",
            "of 200<small>a month",
            "Who belongs to it",
            "refund #4",
            "usage #3",
            "captured from",
            "Not enough credits, for AI-generated report",
            "40 required, 12 available",
            "Nothing yet: what staff do",
            "Used in the last 90 days",
        ):
            assert told in page, told

    def test_shows_grants_in_the_order_they_are_spent(self):
        balance = make_balance(grants=[(100, None), (20, 5000 * DAY)])

        shown = account(balance).context["grants"]

        assert [row.grant.amount for row in shown] == [20, 100]

    def test_draws_what_was_used_folded_or_not(self):
        from credits.operations import aggregate_usage

        now = clock.now()
        balance = make_balance(at=now - 30 * DAY)
        deduct(balance, 7, at=now - 20 * DAY)
        aggregate_usage(balance_ids=[balance.pk], most=100)
        deduct(balance, 5, at=now - HOUR)
        operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", at=now - MINUTE)

        usage = account(balance).context["usage"]

        assert [(name, total) for name, total, _ in usage["legend"]] == [("By amount", 12), ("Simple AI insight", 9)]
        assert usage["total"] == 21

    def test_offers_the_acts_one_may_do_on_the_rows_they_fit(self):
        balance = lived(clock.now())
        client = staff_client("credits.view_creditbalance", "console.refund_usage", "console.release_hold")
        used = CreditTransaction.objects.filter(balance=balance, type="usage").order_by("sequence")
        [held] = balance.holds.filter(status="open")

        page = text_of(account(balance, client))

        assert all(act("refund", balance, transaction=row.pk) in page for row in used)
        assert act("release", balance, hold=held.pk) in page
        assert act("add", balance) not in page
        assert "/void/" not in page

    def test_offers_to_change_and_remove_a_limit_on_its_row(self):
        balance = lived(clock.now())
        [limit] = balance.limits.all()
        client = staff_client("credits.view_creditbalance", "console.limit_spending")

        page = text_of(account(balance, client))

        change = act("set_limit", balance, amount=200, period="month", member="")
        assert act("remove_limit", balance, limit=limit.pk) in page
        assert change in page
        assert client.get(change).context["form"]["amount"].value() == "200"

    def test_offers_to_keep_the_tier_where_a_change_is_scheduled(self):
        balance = make_subscribed_balance(tier="growth")
        client = staff_client("credits.view_creditbalance", "tiers.view_subscription", "console.change_tier")
        assert act("cancel_tier_change", balance) not in text_of(account(balance, client))

        tiers.update_subscription_tier(owner=balance.owner, tier="explorer", effective="nextPeriod")

        subscription = reverse("admin:tiers_subscription_change", args=[balance.pk])
        for page in (account(balance, client), client.get(subscription)):
            assert act("cancel_tier_change", balance) in text_of(page)
            assert "Keep Growth" in text_of(page)

    def test_offers_to_resume_where_spending_is_suspended(self):
        balance = make_balance()
        client = staff_client("credits.view_creditbalance", "console.suspend_spending")
        operations.suspend_spending(owner=balance.owner, reason="Looked odd")

        page = text_of(account(balance, client))

        assert act("resume", balance) in page
        assert act("suspend", balance) not in page

    def test_leads_to_all_that_was_refused(self):
        balance = lived(clock.now())
        RejectedAttempt.objects.create(
            balance=make_balance(), hour=clock.now(), code="spending_suspended", count=1, last_at=clock.now()
        )
        client = superuser_client()
        listed = reverse("admin:credits_rejectedattempt_changelist") + f"?balance={balance.pk}"
        assert f'href="{listed}"' in text_of(account(balance, client))

        page = client.get(listed)

        assert [row.balance_id for row in page.context["cl"].result_list] == [balance.pk]
        assert "Not enough credits" in text_of(page)
        assert "40 required, 12 available" in text_of(page)

    def test_offers_no_refund_of_what_was_given_back(self):
        balance = make_balance()
        paid = deduct(balance, 5)
        operations.refund_usage(transaction_id=paid.transaction.id, reason="It failed")

        assert act("refund", balance, transaction=paid.transaction.id) not in text_of(account(balance))

    def test_shows_no_rand_to_those_who_may_not_see_it(self):
        balance = make_balance(type="purchase", unit_price=Decimal("0.11"))

        page = text_of(account(balance, staff_client("credits.view_creditbalance")))

        assert "R0.11" not in page

    def test_offers_nothing_to_those_who_may_only_look(self):
        balance = lived(clock.now())

        page = text_of(account(balance, staff_client("credits.view_creditbalance")))

        assert "/staffaction/do/" not in page

    def test_asks_no_more_for_a_long_life_than_for_a_short_one(self, django_assert_max_num_queries):
        now = clock.now()
        balance = lived(now)
        client = superuser_client()
        for n in range(30):
            deduct(balance, 1, at=now - MINUTE + timedelta(seconds=n), actor=make_user(), member=make_user())
        for _ in range(15):
            Membership.objects.create(organization_id=balance.pk, user=make_user())

        with django_assert_max_num_queries(32) as asked:
            assert account(balance, client).status_code == 200

        assert count_queries(asked) == []

    def test_says_the_next_step_where_there_is_nothing(self):
        balance = make_balance(grants=[(5, None)])
        deduct(balance, 5)

        page = text_of(account(balance))

        assert "Nothing is left of what was ever given." in page

    def test_does_not_know_a_balance_nobody_opened(self):
        url = reverse("admin:credits_creditbalance_change", args=[make_user().pk])

        assert superuser_client().get(url).status_code == 302

    def test_is_for_those_who_may_see_balances(self):
        assert account(make_balance(), staff_client()).status_code == 403

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_takes_nothing(self, method):
        balance = make_balance()
        url = reverse("admin:credits_creditbalance_change", args=[balance.pk])

        assert getattr(superuser_client(), method)(url).status_code == 403


class TestAnExplainedTransaction:
    def test_says_why_the_credits_went(self):
        balance = lived(clock.now())
        paid = CreditTransaction.objects.get(balance=balance, sequence=3)

        page = " ".join(text_of(explained(paid)).split())

        for told in (
            "Usage of 40 credits",
            "1 \u00d7 AI-generated report, at 40 credits a report",
            f"{paid.timestamp:%A}",
            "version 1",
            "900 → 860",
            "Which grants paid",
            "by <a",
            "refund #4",
            "Half of it was empty",
            bytes(paid.hash).hex(),
        ):
            assert told in page, told

    def test_offers_what_is_left_to_be_refunded(self):
        balance = lived(clock.now())
        paid = CreditTransaction.objects.get(balance=balance, sequence=3)

        response = explained(paid)

        assert response.context["movement"].left == 30
        assert act("refund", balance, transaction=paid.pk) in text_of(response)

    def test_names_its_hold(self):
        balance = lived(clock.now())
        paid = CreditTransaction.objects.filter(balance=balance, hold__isnull=False).get()

        page = text_of(explained(paid))

        assert reverse("admin:credits_credithold_change", args=[paid.hold_id]) in page

    def test_explains_every_kind(self):
        balance = lived(clock.now())
        client = superuser_client()

        for row in CreditTransaction.objects.filter(balance=balance):
            assert explained(row, client).status_code == 200

    def test_escapes_what_a_customer_wrote(self):
        paid = deduct(make_balance(), 5, description="<script>alert(1)</script>", metadata={"x": "</pre><b>"})

        page = explained(paid).content.decode()

        assert "<script>alert(1)" not in page
        assert "</pre><b>" not in page

    def test_asks_a_fixed_number_of_questions(self, django_assert_max_num_queries):
        balance = lived(clock.now())
        paid = CreditTransaction.objects.get(balance=balance, sequence=3)
        client = superuser_client()

        with django_assert_max_num_queries(18):
            explained(paid, client)


class TestTheRowsOfAnAccount:
    def test_offer_the_acts_that_fit_them(self):
        balance = make_balance(grants=[(100, None), (20, 5000 * DAY)])
        lasting, fleeting = balance.grants.order_by("pk")
        held = operations.place_hold(owner=balance.owner, amount=5, description="A report")
        may = ["console.extend_grant", "console.void_grant", "console.release_hold"]
        client = staff_client("credits.view_creditgrant", "credits.view_credithold", *may)

        def page(model, row):
            return text_of(client.get(reverse(f"admin:credits_{model}_change", args=[row.pk])))

        assert act("extend", balance, grant=fleeting.pk) in page("creditgrant", fleeting)
        assert act("extend", balance, grant=lasting.pk) not in page("creditgrant", lasting)
        assert act("void", balance, grant=lasting.pk) in page("creditgrant", lasting)
        assert act("release", balance, hold=held.hold.id) in page("credithold", held)
        operations.release_hold(hold_id=held.hold.id)
        assert act("release", balance, hold=held.hold.id) not in page("credithold", held)

    def test_offer_nothing_to_those_who_may_only_look(self):
        balance = make_balance()
        client = staff_client("credits.view_creditgrant")

        page = text_of(client.get(reverse("admin:credits_creditgrant_change", args=[balance.grants.get().pk])))

        assert "/staffaction/do/" not in page


class TestTheShortCutToASite:
    @pytest.mark.parametrize("rest", ["1/nonsense/", "x/1/", "1/0/extra/"])
    def test_leads_nowhere_whatever_it_is_asked(self, rest):
        assert superuser_client().get(f"/admin/r/{rest}").status_code == 404
