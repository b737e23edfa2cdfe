"""What a browser may load: nothing by default, and no script from elsewhere anywhere."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.support.admin import superuser_client

POLICY = "Content-Security-Policy"


@pytest.mark.django_db
class TestThePolicy:
    @pytest.mark.parametrize("path", ["/health/live", "/api/schema", "/api/credits/balance", "/nowhere", "/admin"])
    def test_allows_nothing_where_there_are_no_pages(self, path):
        assert Client().get(path)[POLICY].startswith("default-src 'none'; form-action 'none'")

    def test_lets_the_admin_compute_and_nobody_else(self):
        admin = superuser_client().get(reverse("admin:index"))[POLICY]
        docs = Client().get(reverse("docs"))[POLICY]

        assert "script-src 'self' 'unsafe-eval';" in admin
        assert "script-src 'self';" in docs
        assert all("script-src 'self' 'unsafe-inline'" not in policy for policy in (admin, docs))
        assert all("frame-ancestors 'none'" in policy and "http" not in policy for policy in (admin, docs))

    def test_stands_on_refusals_too(self):
        assert POLICY in Client().get(reverse("admin:index"))
        assert POLICY in superuser_client().get("/admin/nowhere/")

    def test_finds_no_script_inside_the_documentation(self):
        page = Client().get(reverse("docs")).content.decode()

        assert "<script>" not in page
        assert Client().get(reverse("docs"), {"script": ""})["Content-Type"] == "application/javascript"
