"""Saved filters: links on a list, private or shared, that lead to that list and nowhere else."""

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

MODEL_LABEL = "credits.credittransaction"
TRANSACTIONS = "/admin/credits/credittransaction/"
REFUNDS = "type__exact=refund"


def save_url(model_label=MODEL_LABEL):
    return reverse("save_filter", args=model_label.split("."))


def save(client, query=REFUNDS, *, model_label=MODEL_LABEL, name="Late refunds", **fields):
    """Send the form that saves the current filter of a list."""
    return client.post(f"{save_url(model_label)}?{query}", {"name": name, **fields}, follow=True)


def make_filter(owner, *, name="Late refunds", query=REFUNDS, shared=False, model_label=MODEL_LABEL):
    return operations.save_filter(owner=owner, model_label=model_label, name=name, query=query, shared=shared)


def delete(client, row):
    return client.post(reverse("delete_filter", args=[row.pk]), follow=True)


def href(query):
    return f'href="?{query}"'


class TestSaveFilter:
    def test_a_saved_filter_is_a_link_on_its_list(self):
        staff = make_staff("support")
        client = client_of(staff)

        response = save(client)

        assert response.redirect_chain == [(f"{TRANSACTIONS}?{REFUNDS}", 302)]
        assert messages_of(response) == ["Saved as “Late refunds”."]
        row = SavedFilter.objects.get()
        assert (row.owner, row.model_label, row.query, row.shared) == (staff, MODEL_LABEL, REFUNDS, False)
        assert "Late refunds" in text_of(client.get(TRANSACTIONS))
        assert "Late refunds" not in text_of(client.get("/admin/credits/creditgrant/"))

    def test_a_saved_filter_selects_the_same_rows(self):
        balance = make_balance()
        paid, _ = deduct(balance, 5, reference_id="order-7"), deduct(balance, 6)
        client = client_of(make_staff("support"))

        save(client, "q=order-7&type__exact=usage&timestamp_from=2025-03-01")
        query = SavedFilter.objects.get().query

        shown = client.get(f"{TRANSACTIONS}?{query}")
        assert [row.pk for row in shown.context["cl"].result_list] == [paid.transaction.id]
        assert shown.context["cl"].filter_query == query

    @pytest.mark.parametrize(
        ("query", "saved"),
        [
            (f"{REFUNDS}&after=01890a5d-ac96-774b-bcce-b302099a8057", REFUNDS),
            (f"{REFUNDS}&p=3&all=&o=1.-2&e=1&_popup=1", REFUNDS),
            (f"timestamp_to=&{REFUNDS}&timestamp_from=2025-03-01", "timestamp_from=2025-03-01&type__exact=refund"),
            ("q=%C3%89milie+%26+co", "q=%C3%89milie+%26+co"),
            ("q=https%3A%2F%2Felsewhere.test%2F", "q=https%3A%2F%2Felsewhere.test%2F"),
        ],
    )
    def test_the_query_is_normalized_and_has_no_page_position(self, query, saved):
        balance = make_balance()
        query = query.replace("01890a5d-ac96-774b-bcce-b302099a8057", str(balance.transactions.get().pk))

        save(client_of(make_staff("support")), query)

        assert SavedFilter.objects.get().query == saved

    @pytest.mark.parametrize("query", ["", "after=nonsense", "p=2", "q=", "type__exact=&timestamp_from="])
    def test_an_unfiltered_list_cannot_be_saved(self, query):
        if query.startswith("after"):
            query = f"after={make_balance().transactions.get().pk}"

        response = save(client_of(make_staff("support")), query)

        assert messages_of(response) == ["The list is not filtered. Filter it first, then save the filter."]
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
    def test_an_invalid_filter_cannot_be_saved(self, query):
        response = save(client_of(make_staff("support")), query)

        assert messages_of(response) == ["This list has no such filter."]
        assert response.redirect_chain == [(TRANSACTIONS, 302)]
        assert SavedFilter.objects.count() == 0

    def test_a_filter_that_is_too_long_is_rejected(self):
        response = save(client_of(make_staff("support")), urlencode({"q": "x" * constants.MAX_QUERY_LENGTH}))

        assert messages_of(response) == ["This filter is too long to be saved."]

    @pytest.mark.parametrize(
        ("name", "error"),
        [
            ("", "Enter a name for the filter."),
            ("   ", "Enter a name for the filter."),
            ("x" * 61, "A name has at most 60 characters."),
            ("a\x00b", "Null characters are not allowed."),
        ],
    )
    def test_an_invalid_name_is_rejected(self, name, error):
        response = save(client_of(make_staff("support")), name=name)

        assert messages_of(response) == [error]
        assert SavedFilter.objects.count() == 0

    def test_a_name_is_unique_per_owner_and_list(self):
        staff = make_staff("support")
        client = client_of(staff)
        save(client)

        response = save(client, "type__exact=void")

        assert messages_of(response) == ["You already have a filter called “Late refunds” for this list."]
        assert SavedFilter.objects.get().query == REFUNDS
        save(client, "source__exact=purchase", model_label="credits.creditgrant")
        save(client_of(make_staff("support")))
        assert SavedFilter.objects.filter(name="Late refunds").count() == 3

    def test_a_form_sent_twice_saves_one_filter(self):
        client = client_of(make_staff("support"))

        assert messages_of(save(client)) == messages_of(save(client)) == ["Saved as “Late refunds”."]

        assert SavedFilter.objects.count() == 1

    def test_the_number_of_filters_per_user_is_limited(self, monkeypatch):
        monkeypatch.setattr(constants, "MAX_FILTERS_PER_USER", 2)
        staff = make_staff("support")
        for name in ("one", "two"):
            make_filter(staff, name=name)

        response = save(client_of(staff), name="three")

        assert messages_of(response) == ["You have 2 saved filters, the maximum. Delete one first."]
        assert messages_of(save(client_of(staff), name="two")) == ["Saved as “two”."]
        assert SavedFilter.objects.count() == 2

    def test_saving_and_deleting_need_a_csrf_token(self):
        staff = make_staff("support")
        client = Client(enforce_csrf_checks=True)
        client.force_login(staff)

        assert save(client).status_code == 403
        assert delete(client, make_filter(staff)).status_code == 403
        assert SavedFilter.objects.count() == 1

    def test_a_name_is_escaped(self):
        client = client_of(make_staff("support"))

        save(client, name='<img src=x onerror="1">')

        page = client.get(TRANSACTIONS).content.decode()
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page

    @pytest.mark.parametrize(
        "model_label", ["credits.nothing", "nothing.at", "contenttypes.contenttype", "console.dashboardsnapshot"]
    )
    def test_only_existing_lists_have_filters(self, model_label):
        assert save(client_of(make_staff("support")), "q=x", model_label=model_label).status_code == 404


class TestVisibleFilters:
    def test_a_filter_is_private_unless_it_is_shared(self):
        owner, colleague = make_staff("support"), make_staff("auditor")
        client = client_of(owner)

        save(client, name="Mine")
        save(client, "type__exact=void", name="Ours", shared="on")

        assert [(saved.name, saved.shared_by) for saved in operations.visible_filters(MODEL_LABEL, staff=owner)] == [
            ("Mine", ""),
            ("Ours", ""),
        ]
        assert [
            (saved.name, saved.shared_by) for saved in operations.visible_filters(MODEL_LABEL, staff=colleague)
        ] == [("Ours", owner.email)]
        page = text_of(client_of(colleague).get(TRANSACTIONS))
        assert f'title="Shared by {owner.email}"' in page
        assert "Mine" not in page

    def test_own_filters_come_before_shared_filters(self):
        staff, colleague = make_staff("support"), make_staff("support")
        make_filter(colleague, name="A", shared=True)
        for name in ("C", "B"):
            make_filter(staff, name=name)

        assert [saved.name for saved in operations.visible_filters(MODEL_LABEL, staff=staff)] == ["B", "C", "A"]

    def test_the_current_filter_is_marked(self):
        staff = make_staff("support")
        make_filter(staff)

        chip = f'<a {href(REFUNDS)} aria-current="true">'
        assert chip in text_of(client_of(staff).get(f"{TRANSACTIONS}?{REFUNDS}"))
        assert chip not in text_of(client_of(staff).get(f"{TRANSACTIONS}?type__exact=void"))

    def test_the_owner_can_delete_a_filter(self):
        staff = make_staff("support")
        row = make_filter(staff)

        response = delete(client_of(staff), row)

        assert messages_of(response) == ["Deleted the filter “Late refunds”."]
        assert response.redirect_chain == [(f"{TRANSACTIONS}?{REFUNDS}", 302)]
        assert SavedFilter.objects.count() == 0

    @pytest.mark.parametrize("role", ["support lead", "auditor"])
    def test_other_staff_cannot_delete_a_filter(self, role):
        row = make_filter(make_staff("support"), shared=True)
        client = client_of(make_staff(role))

        assert delete(client, row).status_code == 404
        assert reverse("delete_filter", args=[row.pk]) not in text_of(client.get(TRANSACTIONS))
        assert SavedFilter.objects.count() == 1

    def test_filters_of_deactivated_users_are_hidden(self):
        owner = make_staff("support")
        make_filter(owner, shared=True)
        owner.is_active = False
        owner.save()

        assert operations.visible_filters(MODEL_LABEL, staff=make_staff("support")) == []

    @pytest.mark.parametrize("fields", [{"name": ""}, {"query": ""}, {}])
    def test_the_database_rejects_duplicate_and_empty_filters(self, fields):
        staff = make_staff("support")
        make_filter(staff)

        with pytest.raises(IntegrityError), transaction.atomic():
            SavedFilter.objects.create(
                **{"owner": staff, "model_label": MODEL_LABEL, "name": "Late refunds", "query": "q=x", **fields}
            )

    def test_saved_filters_cost_a_list_one_query(self, django_assert_max_num_queries):
        staff = make_staff("auditor")
        client = client_of(staff)
        for number in range(9):
            make_filter(make_staff("support"), shared=True, name=str(number))
        client.get(TRANSACTIONS)

        with django_assert_max_num_queries(8):
            assert client.get(TRANSACTIONS).status_code == 200


class TestAccess:
    @pytest.mark.parametrize("role", ROLES)
    def test_every_role_can_save_and_delete_filters_of_visible_lists(self, role):
        staff = make_staff(role)
        client = client_of(staff)

        save(client, shared="on")
        delete(client, SavedFilter.objects.get(owner=staff))

        assert SavedFilter.objects.count() == 0
        assert (StaffAction.objects.count(), CreditBalance.objects.count()) == (0, 0)

    def test_users_without_a_role_cannot_save_filters(self):
        page = f"{save_url()}?{REFUNDS}"

        for client in (Client(), client_of(make_user())):
            assert client.post(page, {"name": "x"}).status_code == 302
        assert client_of(make_staff()).post(page, {"name": "x"}).status_code == 403
        assert SavedFilter.objects.count() == 0


@pytest.mark.django_db(transaction=True)
class TestConcurrentSaving:
    def test_concurrent_forms_do_not_exceed_the_maximum(self, monkeypatch):
        monkeypatch.setattr(constants, "MAX_FILTERS_PER_USER", 3)
        staff = make_staff("support")
        make_filter(staff, name="first")

        def one(name):
            return lambda: make_filter(staff, name=name) and "saved"

        outcomes = run_concurrently([one(str(number)) for number in range(6)])

        assert sorted(outcomes) == ["saved"] * 2 + ["too_many_filters"] * 4
        assert SavedFilter.objects.count() == 3

    def test_one_form_sent_concurrently_saves_one_filter(self):
        staff = make_staff("support")

        run_concurrently([partial(make_filter, staff)] * 4)

        assert SavedFilter.objects.count() == 1
