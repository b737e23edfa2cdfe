import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from tests.support.admin import superuser_client


@pytest.mark.django_db
class TestAdminOnly:
    def test_does_not_read_the_session_of_the_admin_on_an_api_request(self, django_assert_num_queries):
        client = superuser_client()

        with django_assert_num_queries(0):
            assert client.get("/api/me").status_code == 401

    def test_keeps_the_login_of_a_page_of_the_admin(self):
        assert superuser_client().get(reverse("admin:index")).status_code == 200
        assert Client().get(reverse("admin:index")).status_code == 302

    def test_refuses_a_form_of_the_admin_without_a_csrf_token(self):
        response = Client(enforce_csrf_checks=True).post(
            reverse("admin:login"), {"username": "staff@example.com", "password": "secret"}
        )

        assert response.status_code == 403

    def test_accepts_a_form_of_the_admin_with_a_csrf_token(self):
        client = Client(enforce_csrf_checks=True)
        client.get(reverse("admin:login"))

        response = client.post(
            reverse("admin:login"),
            {"username": "x", "password": "x", "csrfmiddlewaretoken": client.cookies["csrftoken"].value},
        )

        assert response.status_code == 200

    def test_requires_no_csrf_token_for_the_api(self):
        response = Client(enforce_csrf_checks=True).post(
            "/api/auth/token/verify", {"token": "x"}, content_type="application/json"
        )

        assert response.json()["code"] == "token_not_valid"

    @pytest.mark.parametrize("path", ["/", "/admin", "/api/docs", "/health/live", "/nowhere", "/api/nowhere"])
    def test_leaves_other_pages_without_a_session_and_with_the_security_headers(self, path):
        response = Client().get(path)

        assert response.status_code < 500
        assert not response.cookies
        assert response["X-Frame-Options"] == "DENY"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["X-Request-Id"]


class TestSetting:
    def test_satisfies_the_checks_of_the_admin(self):
        call_command("check", tags=["admin"], fail_level="WARNING")

    def test_lists_the_middleware_of_the_admin_after_all_others(self):
        is_for_admin = [name.startswith("fluxori.console.") for name in settings.MIDDLEWARE]

        assert is_for_admin == sorted(is_for_admin)
        assert sum(is_for_admin) == 8
