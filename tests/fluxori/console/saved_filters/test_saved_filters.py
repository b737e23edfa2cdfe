"""Filters that staff save themselves: a link on the list, one's own or everybody's, and never a way anywhere else."""

from functools import partial
from urllib.parse import urlencode

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from credits.models import CreditBalance
from fluxori.console.models import SavedFilter, StaffAction
from fluxori.console.saved_filters import constants, operations
from tests.support.admin import messages_of, text_of
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.staff import ROLES, client_of, make_staff
from tests.support.threads import run_concurrently

pytestmark = pytest.mark.django_db

LIST = "credits.credittransaction"
TRANSACTIONS = "/admin/credits/credittransaction/"
REFUNDS = "type__exact=refund"


def keep_page(model_label=LIST):
    return reverse("save_filter", args=model_label.split("."))


def save(client, query=REFUNDS, *, model_label=LIST, name="Late refunds", **asked):
    """Send the form of a list on which this filter is chosen."""
    return client.post(f"{keep_page(model_label)}?{query}", {"name": name, **asked}, follow=True)


def kept(owner, *, name="Late refunds", query=REFUNDS, shared=False, model_label=LIST):
    return operations.save_filter(owner=owner, model_label=model_label, name=name, query=query, shared=shared)


def forget(client, row):
    return client.post(reverse("delete_filter", args=[row.pk]), follow=True)


def link_to(query):
    return f'href="?{query}"'


class TestSavingAFilter:
    def test_makes_a_link_on_its_list(self):
        staff = make_staff("support")
        client = client_of(staff)

        response = save(client)

        assert response.redirect_chain == [(f"{TRANSACTIONS}?{REFUNDS}", 302)]
        assert messages_of(response) == ["Saved as “Late refunds”."]
        row = SavedFilter.objects.get()
        assert (row.owner, row.model_label, row.query, row.shared) == (staff, LIST, REFUNDS, False)
        assert "Late refunds" in text_of(client.get(TRANSACTIONS))
        assert "Late refunds" not in text_of(client.get("/admin/credits/creditgrant/"))

    def test_shows_what_it_showed(self):
        balance = make_balance()
        paid, _ = deduct(balance, 5, reference_id="order-7"), deduct(balance, 6)
        client = client_of(make_staff("support"))

        save(client, "q=order-7&type__exact=usage&timestamp_from=2025-03-01")
        query = SavedFilter.objects.get().query

        shown = client.get(f"{TRANSACTIONS}?{query}")
        assert [row.pk for row in shown.context["cl"].result_list] == [paid.transaction.id]
        assert shown.context["cl"].chosen == query

    @pytest.mark.parametrize(
        ("asked", "spelled"),
        [
            (f"{REFUNDS}&after=01890a5d-ac96-774b-bcce-b302099a8057", REFUNDS),
            (f"{REFUNDS}&p=3&all=&o=1.-2&e=1&_popup=1", REFUNDS),
            (f"timestamp_to=&{REFUNDS}&timestamp_from=2025-03-01", "timestamp_from=2025-03-01&type__exact=refund"),
            ("q=%C3%89milie+%26+co", "q=%C3%89milie+%26+co"),
            ("q=https%3A%2F%2Felsewhere.test%2F", "q=https%3A%2F%2Felsewhere.test%2F"),
        ],
    )
    def test_keeps_the_filter_and_not_where_its_page_began(self, asked, spelled):
        balance = make_balance()
        asked = asked.replace("01890a5d-ac96-774b-bcce-b302099a8057", str(balance.transactions.get().pk))

        save(client_of(make_staff("support")), asked)

        assert SavedFilter.objects.get().query == spelled

    @pytest.mark.parametrize("query", ["", "after=nonsense", "p=2", "q=", "type__exact=&timestamp_from="])
    def test_saves_no_whole_list(self, query):
        if query.startswith("after"):
            query = f"after={make_balance().transactions.get().pk}"

        response = save(client_of(make_staff("support")), query)

        assert messages_of(response) == ["This is the whole list. Filter it first, then save the filter."]
        assert SavedFilter.objects.count() == 0

    @pytest.mark.parametrize(
        "query",
        [
            "next=https://elsewhere.test/",
            f"{REFUNDS}&colour=blue",
            "amount__nothing=1",
            "amount=many",
            "timestamp_from=yesterday",
            "balance__user__password__startswith=a",
            f"{REFUNDS}&after=nonsense",
        ],
    )
    def test_saves_nothing_that_is_no_filter_of_the_list(self, query):
        response = save(client_of(make_staff("support")), query)

        assert messages_of(response) == ["This list has no such filter."]
        assert response.redirect_chain == [(TRANSACTIONS, 302)]
        assert SavedFilter.objects.count() == 0

    def test_is_refused_when_it_is_too_long(self):
        response = save(client_of(make_staff("support")), urlencode({"q": "x" * constants.MAX_QUERY_LENGTH}))

        assert messages_of(response) == ["This filter is too long to be saved."]

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("", "Give the filter a name."),
            ("   ", "Give the filter a name."),
            ("x" * 61, "A name has at most 60 characters."),
            ("a\x00b", "Null characters are not allowed."),
        ],
    )
    def test_needs_a_name(self, name, why):
        response = save(client_of(make_staff("support")), name=name)

        assert messages_of(response) == [why]
        assert SavedFilter.objects.count() == 0

    def test_needs_a_name_of_its_own_in_that_list(self):
        staff = make_staff("support")
        client = client_of(staff)
        save(client)

        response = save(client, "type__exact=void")

        assert messages_of(response) == ["Another of your filters of this list is called “Late refunds”."]
        assert SavedFilter.objects.get().query == REFUNDS
        save(client, "source__exact=purchase", model_label="credits.creditgrant")
        save(client_of(make_staff("support")))
        assert SavedFilter.objects.filter(name="Late refunds").count() == 3

    def test_happens_once_though_the_button_is_pressed_twice(self):
        client = client_of(make_staff("support"))

        assert messages_of(save(client)) == messages_of(save(client)) == ["Saved as “Late refunds”."]

        assert SavedFilter.objects.count() == 1

    def test_ends_at_fifty(self, monkeypatch):
        monkeypatch.setattr(constants, "MAX_FILTERS_PER_USER", 2)
        staff = make_staff("support")
        for name in ("one", "two"):
            kept(staff, name=name)

        response = save(client_of(staff), name="three")

        assert messages_of(response) == ["You have 2 saved filters, as many as one person may. Delete one first."]
        assert messages_of(save(client_of(staff), name="two")) == ["Saved as “two”."]
        assert SavedFilter.objects.count() == 2

    def test_needs_the_token_of_a_form(self):
        staff = make_staff("support")
        client = Client(enforce_csrf_checks=True)
        client.force_login(staff)

        assert save(client).status_code == 403
        assert forget(client, kept(staff)).status_code == 403
        assert SavedFilter.objects.count() == 1

    def test_says_a_name_as_it_is(self):
        client = client_of(make_staff("support"))

        save(client, name='<img src=x onerror="1">')

        page = client.get(TRANSACTIONS).content.decode()
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page

    @pytest.mark.parametrize(
        "model_label", ["credits.nothing", "nothing.at", "auth.group", "tiers.tier", "console.standing"]
    )
    def test_is_for_lists_that_are_there(self, model_label):
        assert save(client_of(make_staff("support")), "q=x", model_label=model_label).status_code == 404


class TestASavedFilter:
    def test_is_ones_own_unless_it_is_shared(self):
        maker, colleague = make_staff("support"), make_staff("auditor")
        client = client_of(maker)

        save(client, name="Mine")
        save(client, "type__exact=void", name="Ours", shared="on")

        assert [(one.name, one.shared_by) for one in operations.visible_filters(LIST, staff=maker)] == [
            ("Mine", ""),
            ("Ours", ""),
        ]
        assert [(one.name, one.shared_by) for one in operations.visible_filters(LIST, staff=colleague)] == [
            ("Ours", maker.email)
        ]
        page = text_of(client_of(colleague).get(TRANSACTIONS))
        assert f'title="Shared by {maker.email}"' in page
        assert "Mine" not in page

    def test_stands_behind_ones_own(self):
        staff, colleague = make_staff("support"), make_staff("support")
        kept(colleague, name="A", shared=True)
        for name in ("C", "B"):
            kept(staff, name=name)

        assert [one.name for one in operations.visible_filters(LIST, staff=staff)] == ["B", "C", "A"]

    def test_is_marked_where_it_is_what_one_sees(self):
        staff = make_staff("support")
        kept(staff)

        chip = f'<a {link_to(REFUNDS)} aria-current="true">'
        assert chip in text_of(client_of(staff).get(f"{TRANSACTIONS}?{REFUNDS}"))
        assert chip not in text_of(client_of(staff).get(f"{TRANSACTIONS}?type__exact=void"))

    def test_is_deleted_by_its_maker(self):
        staff = make_staff("support")
        row = kept(staff)

        response = forget(client_of(staff), row)

        assert messages_of(response) == ["Deleted the filter “Late refunds”."]
        assert response.redirect_chain == [(f"{TRANSACTIONS}?{REFUNDS}", 302)]
        assert SavedFilter.objects.count() == 0

    @pytest.mark.parametrize("role", ["support lead", "auditor"])
    def test_is_deleted_by_nobody_else(self, role):
        row = kept(make_staff("support"), shared=True)
        client = client_of(make_staff(role))

        assert forget(client, row).status_code == 404
        assert reverse("delete_filter", args=[row.pk]) not in text_of(client.get(TRANSACTIONS))
        assert SavedFilter.objects.count() == 1

    def test_is_not_shown_once_its_maker_has_left(self):
        maker = make_staff("support")
        kept(maker, shared=True)
        maker.is_active = False
        maker.save()

        assert operations.visible_filters(LIST, staff=make_staff("support")) == []

    @pytest.mark.parametrize("wrong", [{"name": ""}, {"query": ""}, {}])
    def test_is_in_bounds_in_the_database(self, wrong):
        staff = make_staff("support")
        kept(staff)

        with pytest.raises(IntegrityError), transaction.atomic():
            SavedFilter.objects.create(
                **{"owner": staff, "model_label": LIST, "name": "Late refunds", "query": "q=x", **wrong}
            )

    def test_costs_a_list_one_question(self, django_assert_max_num_queries):
        staff = make_staff("auditor")
        client = client_of(staff)
        for number in range(9):
            kept(make_staff("support"), shared=True, name=str(number))
        client.get(TRANSACTIONS)

        with django_assert_max_num_queries(8):
            assert client.get(TRANSACTIONS).status_code == 200


class TestEachRole:
    @pytest.mark.parametrize("role", ROLES)
    def test_may_save_and_delete_filters_of_what_it_sees(self, role):
        staff = make_staff(role)
        client = client_of(staff)

        save(client, shared="on")
        forget(client, SavedFilter.objects.get(owner=staff))

        assert SavedFilter.objects.count() == 0
        assert (StaffAction.objects.count(), CreditBalance.objects.count()) == (0, 0)

    def test_of_none_saves_nothing(self):
        page = f"{keep_page()}?{REFUNDS}"

        for client in (Client(), client_of(make_user())):
            assert client.post(page, {"name": "x"}).status_code == 302
        assert client_of(make_staff()).post(page, {"name": "x"}).status_code == 403
        assert SavedFilter.objects.count() == 0


@pytest.mark.django_db(transaction=True)
class TestSavingUnderContention:
    def test_never_passes_the_bound(self, monkeypatch):
        monkeypatch.setattr(constants, "MAX_FILTERS_PER_USER", 3)
        staff = make_staff("support")
        kept(staff, name="first")

        def one(name):
            return lambda: kept(staff, name=name) and "saved"

        outcomes = run_concurrently([one(str(number)) for number in range(6)])

        assert sorted(outcomes) == ["saved"] * 2 + ["too_many_filters"] * 4
        assert SavedFilter.objects.count() == 3

    def test_saves_one_form_once(self):
        staff = make_staff("support")

        run_concurrently([partial(kept, staff)] * 4)

        assert SavedFilter.objects.count() == 1
