"""Lists without rows say what to do next."""

import pytest
from django.contrib import admin
from django.urls import reverse

from fluxori.adminkit.changelist import ListAdmin
from fluxori.identity.models import User
from tests.support.admin import superuser_client, text_of
from tests.support.factories.credits import make_balance

pytestmark = pytest.mark.django_db

# The list of users always has the user of the test.
LISTS = [page for page in admin.site._registry.values() if isinstance(page, ListAdmin) and page.model is not User]


class TestEmptyLists:
    @pytest.mark.parametrize("model_admin", LISTS, ids=lambda model_admin: model_admin.opts.model_name)
    def test_an_empty_list_says_how_the_first_row_is_created(self, model_admin):
        url = reverse(f"admin:{model_admin.opts.label_lower.replace('.', '_')}_changelist")

        page = text_of(superuser_client().get(url))

        assert "No entries yet" in page
        message = model_admin.empty_message
        assert (message and message in page) or f"Add {model_admin.opts.verbose_name}" in page

    def test_a_filter_without_results_links_to_the_whole_list(self):
        make_balance()

        page = text_of(superuser_client().get("/admin/credits/credittransaction/", {"q": "unknown@"}))

        assert "No row matches “unknown@”" in page
        assert "Show the whole list" in page
