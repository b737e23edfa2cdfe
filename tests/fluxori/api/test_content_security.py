"""The content security policy: nothing may be loaded by default, and no script from another origin on any page."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.support.admin import superuser_client

POLICY = "Content-Security-Policy"


@pytest.mark.django_db
class TestContentSecurityPolicy:
    @pytest.mark.parametrize("path", ["/health/live", "/api/schema", "/api/credits/balance", "/nowhere", "/admin"])
    def test_allows_nothing_outside_the_admin_and_the_docs(self, path):
        assert Client().get(path)[POLICY].startswith("default-src 'none'; form-action 'none'")

    def test_allows_eval_in_the_admin_only_and_no_inline_scripts(self):
        admin = superuser_client().get(reverse("admin:index"))[POLICY]
        docs = Client().get(reverse("docs"))[POLICY]

        assert "script-src 'self' 'unsafe-eval';" in admin
        assert "script-src 'self';" in docs
        assert all("script-src 'self' 'unsafe-inline'" not in policy for policy in (admin, docs))
        assert all("frame-ancestors 'none'" in policy and "http" not in policy for policy in (admin, docs))

    def test_is_set_on_redirects_and_errors(self):
        assert POLICY in Client().get(reverse("admin:index"))
        assert POLICY in superuser_client().get("/admin/nowhere/")

    def test_is_respected_by_the_docs_page_which_has_no_inline_script(self):
        page = Client().get(reverse("docs")).content.decode()

        assert "<script>" not in page
        assert Client().get(reverse("docs"), {"script": ""})["Content-Type"] == "application/javascript"
