"""Staff allocate a month by hand: asked, confirmed, and never twice."""

from datetime import timedelta

import pytest
from django.urls import reverse

from credits.models import CreditBalance, CreditTransaction
from fluxori.kernel import clock
from tests.credits.admin.staff import logged, said, staff_client, superuser_client, words
from tests.factories.credits import funded, somebody
from tiers import operations
from tiers.models import MonthlyAllocation


@pytest.fixture
def subscribed(db):
    """Somebody who had their 400 credits forty days ago and nothing since: a month is due."""
    owner = somebody()
    operations.initialize_balance(owner=owner, tier="explorer", at=clock.now() - timedelta(days=40))
    return owner


def page_of(whom) -> str:
    return reverse("admin:tiers_subscription_allocate", args=[whom.pk])


def minted(client, whom) -> dict[str, str]:
    key = client.get(page_of(whom)).context["form"]["idempotency_key"].value()
    return {"reason": "The run was late", "idempotency_key": key}


class TestAsking:
    def test_says_what_will_happen_and_does_nothing_yet(self, subscribed):
        client = superuser_client()

        page = words(client.post(page_of(subscribed), minted(client, subscribed)))

        assert "400 → 800" in page
        assert f"Allocate 400 credits to {subscribed.email}" in page
        assert not MonthlyAllocation.objects.exists()

    def test_goes_by_a_scheduled_change_that_fell_due(self, db):
        client, whom, anchor = superuser_client(), somebody(), clock.now() - timedelta(days=40)
        operations.initialize_balance(owner=whom, tier="growth", at=anchor)
        operations.update_subscription_tier(owner=whom, tier="explorer", effective="nextPeriod", at=anchor)

        page = words(client.post(page_of(whom), minted(client, whom)))

        assert "2,000 → 2,400" in page
        assert "Explorer" in page

    def test_needs_a_reason(self, subscribed):
        client = superuser_client()

        answer = client.post(page_of(subscribed), {**minted(client, subscribed), "reason": "", "confirmed": "yes"})

        assert list(answer.context["form"].errors) == ["reason"]
        assert not MonthlyAllocation.objects.exists()

    def test_offers_nothing_where_the_month_has_its_credits(self, subscribed):
        operations.add_monthly_allocation(owner=subscribed)
        client = superuser_client()

        page = words(client.post(page_of(subscribed), minted(client, subscribed)))

        assert "There is nothing to do." in page
        assert 'name="confirmed"' not in page

    def test_says_that_a_balance_has_no_tier(self, db):
        client, whom = superuser_client(), funded().user

        answer = client.post(page_of(whom), minted(client, whom))

        assert answer.context["form"].non_field_errors() == ["The balance has no tier."]

    def test_is_offered_on_the_balance_page_where_there_is_a_tier(self, subscribed):
        client, without = superuser_client(), funded()

        pages = [
            words(client.get(reverse("admin:credits_creditbalance_change", args=[key])))
            for key in (subscribed.pk, without.pk)
        ]

        assert page_of(subscribed) in pages[0]
        assert "Explorer" in pages[0]
        assert "Allocate the month" not in pages[1]


class TestConfirming:
    def test_allocates_with_the_reason_and_notes_who_did_it(self, subscribed):
        client = superuser_client()

        answer = client.post(page_of(subscribed), {**minted(client, subscribed), "confirmed": "yes"}, follow=True)

        given = CreditTransaction.objects.get(sequence=2)
        assert (given.type, given.amount, given.reason) == ("allocation", 400, "The run was late")
        assert said(answer) == [f"Allocated 400 credits to {subscribed.email}. Balance 400 → 800."] == logged()

    def test_happens_once_however_often_the_form_is_sent(self, subscribed):
        client = superuser_client()
        form = {**minted(client, subscribed), "confirmed": "yes"}

        client.post(page_of(subscribed), form)
        again = client.post(page_of(subscribed), form, follow=True)

        assert CreditBalance.objects.get(pk=subscribed.pk).balance == 800
        assert len(logged()) == 1
        assert "Nothing was allocated again." in said(again)[-1]

    def test_gives_nothing_to_a_second_form_for_the_same_month(self, subscribed):
        client = superuser_client()
        client.post(page_of(subscribed), {**minted(client, subscribed), "confirmed": "yes"})

        client.post(page_of(subscribed), {**minted(client, subscribed), "confirmed": "yes"})

        assert CreditBalance.objects.get(pk=subscribed.pk).balance == 800
        assert len(logged()) == 1

    def test_is_for_those_who_may(self, subscribed):
        looking = staff_client("tiers.view_subscription")

        assert looking.post(page_of(subscribed), {"reason": "x", "confirmed": "yes"}).status_code == 403
