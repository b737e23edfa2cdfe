"""Staff add credits: asked, confirmed, done once, by the operation everyone uses."""

import re

import pytest
from django.urls import reverse

from credits.models import CreditBalance, CreditTransaction
from fluxori.identity.models import Organization
from tests.credits.admin.staff import STAFF, logged, said, staff_client, superuser_client, words
from tests.factories.credits import funded, somebody
from tests.factories.identity import OrganizationFactory

ASKED = {"amount": "50", "type": "promotion", "description": "For the outage", "reason": "Ticket 4711"}


def page_of(whom) -> str:
    return reverse("admin:credits_creditbalance_add_credits", args=[whom.pk])


def minted(client, whom) -> dict[str, str]:
    """Return the form as it is when shown: with a key of its own."""
    key = client.get(page_of(whom)).context["form"]["idempotency_key"].value()
    return {**ASKED, "idempotency_key": key}


@pytest.fixture
def balance(db):
    return funded(grants=[(120, None)])


class TestAsking:
    def test_says_what_will_happen_and_does_nothing_yet(self, balance):
        client = superuser_client()

        answer = client.post(page_of(balance), minted(client, balance))

        page = words(answer)
        assert "120 → 170" in page
        assert f"Add 50 credits to {balance.user.email}" in page
        assert "Ticket 4711" in page
        assert CreditTransaction.objects.count() == 1

    def test_goes_back_to_the_form_with_everything_still_there(self, balance):
        client = superuser_client()

        answer = client.post(page_of(balance), {**minted(client, balance), "change": "yes"})

        assert answer.context["form"]["reason"].value() == "Ticket 4711"
        assert 'name="amount" value="50"' in words(answer)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("amount", "0"),
            ("amount", "-5"),
            ("amount", "9.5"),
            ("amount", "1000000000001"),
            ("type", "usage"),
            ("reason", "   "),
            ("reason", "x" * 501),
            ("unit_price", "-1"),
            ("unit_price", "0.0000001"),
            ("expires_at", "tomorrow"),
        ],
    )
    def test_names_the_field_that_is_wrong(self, balance, field, value):
        client = superuser_client()

        answer = client.post(page_of(balance), {**minted(client, balance), field: value, "confirmed": "yes"})

        assert list(answer.context["form"].errors) == [field]
        assert CreditTransaction.objects.count() == 1


class TestConfirming:
    def test_adds_the_credits_with_the_reason_and_notes_who_did_it(self, balance):
        client = superuser_client()

        answer = client.post(page_of(balance), {**minted(client, balance), "confirmed": "yes"}, follow=True)

        added = CreditTransaction.objects.get(sequence=2)
        assert (added.amount, added.type, added.balance_after) == (50, "promotion", 170)
        assert (added.description, added.reason) == ("For the outage", "Ticket 4711")
        assert added.actor.email == STAFF
        assert said(answer) == [f"Added 50 credits to {balance.user.email}. Balance 120 → 170."] == logged()
        assert answer.redirect_chain[0][0] == reverse("admin:credits_creditbalance_change", args=[balance.pk])

    def test_happens_once_however_often_the_form_is_sent(self, balance):
        client = superuser_client()
        form = {**minted(client, balance), "confirmed": "yes"}

        client.post(page_of(balance), form)
        again = client.post(page_of(balance), form, follow=True)

        balance.refresh_from_db()
        assert balance.balance == 170
        assert len(logged()) == 1
        assert "nothing again now" in said(again)[-1]

    def test_can_be_read_in_the_history_of_the_balance(self, balance):
        client = superuser_client()
        client.post(page_of(balance), {**minted(client, balance), "confirmed": "yes"})

        history = words(client.get(reverse("admin:credits_creditbalance_history", args=[balance.pk])))

        assert f"Added 50 credits to {balance.user.email}" in history
        assert "1 entry" in " ".join(history.split())

    def test_keeps_its_key_from_the_form_through_the_confirmation(self, balance):
        client = superuser_client()
        form = minted(client, balance)

        confirmation = words(client.post(page_of(balance), form))

        [kept] = re.findall(r'name="idempotency_key" value="([^"]+)"', confirmation)
        assert kept == form["idempotency_key"]

    def test_says_a_refusal_beside_its_field(self, balance):
        client = superuser_client()
        past = {**minted(client, balance), "expires_at": "2020-01-01T10:00", "confirmed": "yes"}

        answer = client.post(page_of(balance), past)

        assert answer.status_code == 200
        assert answer.context["form"].errors["expires_at"] == ["Credits cannot expire before they begin."]
        assert CreditTransaction.objects.count() == 1

    def test_says_a_refusal_of_the_whole_above_the_form(self, balance):
        client = superuser_client()
        form = {**minted(client, balance), "confirmed": "yes"}
        client.post(page_of(balance), form)

        answer = client.post(page_of(balance), {**form, "amount": "51"})

        assert answer.context["form"].non_field_errors() == ["The idempotency key already names another request."]
        assert CreditTransaction.objects.count() == 2

    @pytest.mark.parametrize("make", [somebody, OrganizationFactory])
    def test_opens_a_balance_where_there_is_none(self, db, make):
        client, whom = superuser_client(), make()
        form = minted(client, whom)

        assert "no balance yet" in words(client.get(page_of(whom)))
        assert "One is opened, without a tier." in words(client.post(page_of(whom), form))
        client.post(page_of(whom), {**form, "confirmed": "yes"})

        assert CreditBalance.objects.get(pk=whom.pk).balance == 50

    def test_is_for_those_who_may(self, balance):
        looking = staff_client("credits.view_creditbalance")

        assert looking.get(page_of(balance)).status_code == 403
        assert looking.post(page_of(balance), {**ASKED, "confirmed": "yes"}).status_code == 403

    def test_may_be_allowed_without_being_superuser(self, balance):
        client = staff_client("credits.add_creditgrant", "credits.view_creditbalance")

        client.post(page_of(balance), {**minted(client, balance), "confirmed": "yes"})

        balance.refresh_from_db()
        assert balance.balance == 170

    def test_does_not_know_an_id_that_is_nobodys(self, db):
        nobody = "00000000-0000-7000-8000-000000000000"

        answer = superuser_client().get(reverse("admin:credits_creditbalance_add_credits", args=[nobody]))

        assert answer.status_code == 404


class TestFindingTheOwner:
    PAGE = "admin:credits_creditbalance_find_owner"

    def test_is_offered_on_the_list_of_balances(self, db):
        page = words(superuser_client().get(reverse("admin:credits_creditbalance_changelist")))

        assert reverse(self.PAGE) in page

    def test_finds_people_and_organizations_with_and_without_balance(self, db):
        funded(Organization.objects.create(name="Acme Traders"), grants=[(7, None)])
        newcomer = somebody()

        client = superuser_client()
        pools = words(client.get(reverse(self.PAGE), {"q": "acme"}))
        people = words(client.get(reverse(self.PAGE), {"q": newcomer.email}))

        assert "Organization, balance 7" in pools
        assert "User, no balance yet" in people
        assert page_of(newcomer) in people

    def test_says_when_there_is_nobody(self, db):
        assert "Nobody" in words(superuser_client().get(reverse(self.PAGE), {"q": "zzz"}))
