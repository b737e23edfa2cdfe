"""What stands in the place of a page that is not there, or not for the reader; and of rows that are not there yet."""

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from fluxori.adminkit.changelist import ListAdmin
from fluxori.identity.models import User
from tests.support.admin import superuser_client, text_of
from tests.support.factories.credits import make_balance
from tests.support.staff import action_url, client_of, make_staff

pytestmark = pytest.mark.django_db

# Of users there is always the one who looks.
LISTS = [page for page in admin.site._registry.values() if isinstance(page, ListAdmin) and page.model is not User]


class TestARefusedPage:
    def test_says_that_there_is_nothing_and_where_to_go(self):
        response = superuser_client().get("/admin/nothing/")

        assert response.status_code == 404
        assert "There is nothing here" in text_of(response)
        assert f'href="{reverse("admin:index")}"' in text_of(response)
        assert f'href="{reverse("console_search")}"' in text_of(response)

    def test_says_that_one_may_not(self):
        response = client_of(make_staff("auditor")).get(action_url("add", make_balance()))

        assert response.status_code == 403
        assert "None of your groups allows it" in text_of(response)

    def test_says_that_a_form_has_expired(self):
        client = Client(enforce_csrf_checks=True)
        client.force_login(make_staff("support"))

        response = client.post(action_url("add", make_balance()), {"amount": "5"})

        assert response.status_code == 403
        assert "This form has expired" in text_of(response)

    def test_says_that_an_address_cannot_be_read(self):
        response = superuser_client().get("/admin/credits/creditgrant/?balance__user__password__startswith=a")

        assert response.status_code == 400
        assert "That cannot be read" in text_of(response)


class TestAnEmptyList:
    @pytest.mark.parametrize("page", LISTS, ids=lambda page: page.opts.model_name)
    def test_says_how_its_first_row_comes_about(self, page):
        client = superuser_client()

        shown = text_of(client.get(reverse(f"admin:{page.opts.label_lower.replace('.', '_')}_changelist")))

        assert "Nothing here yet" in shown
        assert (page.empty_message and page.empty_message in shown) or f"Add {page.opts.verbose_name}" in shown

    def test_leads_back_to_the_whole_where_a_filter_left_nothing(self):
        make_balance()

        shown = text_of(superuser_client().get("/admin/credits/credittransaction/", {"q": "nobody@"}))

        assert "Nothing here is called “nobody@”" in shown
        assert "Show the whole list" in shown
