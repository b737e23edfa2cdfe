"""Acts of staff on their pages: asked, confirmed, done once, by the operations everyone uses, and recorded."""

import pytest
from django.urls import reverse

from credits.models import CreditBalance, CreditTransaction
from fluxori.console.models import StaffAction
from fluxori.identity.models import Organization
from tests.support.admin import STAFF, said, staff_client, superuser_client, words
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.identity import OrganizationFactory
from tests.support.staff import minted, page_of

ADDED = {"amount": "50", "type": "promotion", "description": "For the outage", "ticket": "SUP-7", "note": "An hour"}


@pytest.fixture
def balance(db):
    return make_balance(grants=[(120, None)])


@pytest.fixture
def add(balance):
    return page_of("add", balance)


class TestAsking:
    def test_says_what_will_happen_and_does_nothing_yet(self, balance, add):
        client = superuser_client()

        answer = client.post(add, minted(client, add, **ADDED))

        page = words(answer)
        assert "120 → 170" in page
        assert f"Add 50 credits to {balance.user.email}" in page
        assert "SUP-7" in page
        assert CreditTransaction.objects.count() == 1
        assert not StaffAction.objects.exists()

    def test_says_when_they_expire(self, add):
        client = superuser_client()

        page = words(client.post(add, minted(client, add, **ADDED, expires_at="2050-03-01T10:00")))

        assert "1 March 2050" in page or "2050" in page

    def test_goes_back_to_the_form_with_everything_still_there(self, add):
        client = superuser_client()

        answer = client.post(add, {**minted(client, add, **ADDED), "change": "yes"})

        assert answer.context["form"]["ticket"].value() == "SUP-7"
        assert 'name="amount" value="50"' in words(answer)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("amount", "0"),
            ("amount", "-5"),
            ("amount", "9.5"),
            ("amount", "1000000000001"),
            ("type", "usage"),
            ("reason", ""),
            ("reason", "because"),
            ("note", "x" * 1001),
            ("ticket", "x" * 65),
            ("unit_price", "-1"),
            ("unit_price", "0.0000001"),
            ("expires_at", "tomorrow"),
        ],
    )
    def test_names_the_field_that_is_wrong(self, add, field, value):
        client = superuser_client()

        answer = client.post(add, {**minted(client, add, **ADDED), field: value, "confirmed": "yes"})

        assert list(answer.context["form"].errors) == [field]
        assert CreditTransaction.objects.count() == 1

    def test_wants_to_know_what_other_reason_there_is(self, add):
        client = superuser_client()

        answer = client.post(add, minted(client, add, **{**ADDED, "note": ""}, reason="other"))

        assert list(answer.context["form"].errors) == ["note"]

    def test_says_a_refusal_already_in_the_preview(self, add):
        client = superuser_client()

        answer = client.post(add, minted(client, add, **ADDED, expires_at="2020-01-01T10:00"))

        assert answer.context["form"].errors["expires_at"] == ["Credits cannot expire before they begin."]


class TestConfirming:
    def test_adds_the_credits_and_records_who_did_it_and_why(self, balance, add):
        client = superuser_client()
        form = {**minted(client, add, **ADDED), "confirmed": "yes"}

        answer = client.post(add, form, follow=True, headers={"X-Request-Id": "from-the-desk"})

        added = CreditTransaction.objects.get(sequence=2)
        assert (added.amount, added.type, added.balance_after) == (50, "promotion", 170)
        assert (added.description, added.reason) == ("For the outage", "Goodwill")
        assert added.actor.email == STAFF
        done = StaffAction.objects.get()
        assert said(answer) == [f"Added 50 credits to {balance.user.email}. Balance 120 → 170."] == [done.said]
        assert answer.redirect_chain[0][0] == reverse("admin:credits_creditbalance_change", args=[balance.pk])
        assert (done.actor.email, done.act, done.balance_id, done.transaction) == (STAFF, "add", balance.pk, added)
        assert (done.reason, done.note, done.ticket, done.request_id) == (
            "goodwill",
            "An hour",
            "SUP-7",
            "from-the-desk",
        )
        assert (done.before["balance"], done.after["balance"], done.credits) == (120, 170, 50)
        assert (done.authority, done.approver, done.idempotency_key) == (done.actor, None, form["idempotency_key"])

    def test_happens_once_however_often_the_form_is_sent(self, balance, add):
        client = superuser_client()
        form = {**minted(client, add, **ADDED), "confirmed": "yes"}

        client.post(add, form)
        again = client.post(add, form, follow=True)

        balance.refresh_from_db()
        assert balance.balance == 170
        assert StaffAction.objects.count() == 1
        assert "Nothing happened again" in said(again)[-1]

    def test_refuses_a_form_sent_again_with_other_words(self, add):
        client = superuser_client()
        form = {**minted(client, add, **ADDED), "confirmed": "yes"}
        client.post(add, form)

        answer = client.post(add, {**form, "amount": "51"})

        assert "Begin again" in answer.context["form"].non_field_errors()[0]
        assert CreditTransaction.objects.count() == 2

    @pytest.mark.parametrize("make", [make_user, OrganizationFactory])
    def test_opens_a_balance_where_there_is_none(self, db, make):
        client, whom = superuser_client(), make()
        page = page_of("add", whom)
        form = minted(client, page, **ADDED)

        assert "no balance yet" in words(client.get(page))
        assert "0 → 50" in words(client.post(page, form))
        assert not CreditBalance.objects.exists()
        client.post(page, {**form, "confirmed": "yes"})

        assert CreditBalance.objects.get(pk=whom.pk).balance == 50

    def test_is_for_those_who_may(self, add):
        looking = staff_client("credits.view_creditbalance", "console.refund_usage")

        assert looking.get(add).status_code == 403
        assert looking.post(add, {**ADDED, "confirmed": "yes"}).status_code == 403

    def test_does_not_know_an_id_that_is_nobodys(self, db):
        nobody = "00000000-0000-7000-8000-000000000000"

        assert superuser_client().get(reverse("admin:console_act", args=["add", nobody])).status_code == 404

    def test_does_not_know_an_act_that_is_none(self, balance):
        assert superuser_client().get(page_of("steal", balance)).status_code == 404

    def test_does_not_know_a_row_of_another_balance(self, balance):
        others = deduct(make_balance(), 5)

        client = superuser_client()

        assert client.get(page_of("refund", balance, transaction=others.pk)).status_code == 404
        assert client.get(page_of("refund", balance)).status_code == 404
        assert client.get(page_of("refund", balance, transaction="x")).status_code == 404


class TestFindingTheOwner:
    PAGE = "admin:console_whom"

    def test_is_offered_on_the_list_of_balances(self, db):
        page = words(superuser_client().get(reverse("admin:credits_creditbalance_changelist")))

        assert reverse(self.PAGE) in page

    def test_finds_people_and_organizations_with_and_without_balance(self, db):
        make_balance(Organization.objects.create(name="Acme Traders"), grants=[(7, None)])
        newcomer = make_user()

        client = superuser_client()
        pools = words(client.get(reverse(self.PAGE), {"q": "acme"}))
        people = words(client.get(reverse(self.PAGE), {"q": newcomer.email}))

        assert "Organization, balance 7" in pools
        assert "User, no balance yet" in people
        assert page_of("add", newcomer) in people

    def test_says_when_there_is_nobody(self, db):
        assert "Nobody" in words(superuser_client().get(reverse(self.PAGE), {"q": "zzz"}))

    def test_is_for_those_who_may_add(self, db):
        assert staff_client("credits.view_creditbalance").get(reverse(self.PAGE)).status_code == 403
