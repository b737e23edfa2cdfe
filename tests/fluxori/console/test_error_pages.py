"""The pages for HTTP errors in the admin."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.support.admin import superuser_client, text_of
from tests.support.factories.credits import make_balance
from tests.support.staff import action_url, client_of, make_staff

pytestmark = pytest.mark.django_db


class TestErrorPages:
    def test_an_unknown_address_shows_page_not_found_with_links(self):
        response = superuser_client().get("/admin/nothing/")

        assert response.status_code == 404
        assert "Page not found" in text_of(response)
        assert f'href="{reverse("admin:index")}"' in text_of(response)
        assert f'href="{reverse("console_search")}"' in text_of(response)

    def test_a_missing_permission_shows_permission_denied(self):
        response = client_of(make_staff("auditor")).get(action_url("add", make_balance()))

        assert response.status_code == 403
        assert "None of your groups has the permission for this." in text_of(response)

    def test_a_form_without_a_csrf_token_shows_that_it_has_expired(self):
        client = Client(enforce_csrf_checks=True)
        client.force_login(make_staff("support"))

        response = client.post(action_url("add", make_balance()), {"amount": "5"})

        assert response.status_code == 403
        assert "This form has expired" in text_of(response)

    def test_a_forbidden_field_shows_invalid_request(self):
        response = superuser_client().get("/admin/credits/creditgrant/?_to_field=remaining")

        assert response.status_code == 400
        assert "Invalid request" in text_of(response)
