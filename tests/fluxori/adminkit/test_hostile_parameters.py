"""Addresses that no page links to: no parameter of a list and no key of a page causes a server error.

The tests walk every admin class that is registered, so they cover a new one.
"""

from itertools import cycle
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.urls import reverse

from tests.support.admin import messages_of, superuser_client
from tests.support.factories.credits import deduct, make_balance

# Every admin class, with every filter: slow by nature.
pytestmark = [pytest.mark.django_db, pytest.mark.slow]

ADMINS = sorted(admin.site._registry.values(), key=lambda model_admin: model_admin.opts.label_lower)
every_admin = pytest.mark.parametrize("model_admin", ADMINS, ids=lambda model_admin: model_admin.opts.label_lower)

VALUES = ["\x00", "", "(", "9999-12-31", "9" * 30]
LOOKUPS = [
    ("exact", "\x00"),
    ("year", "99999"),
    ("regex", "("),
    ("gte", "9999-12-31"),
    ("isnull", "\x00"),
    ("in", ",,"),
    ("nonsense", "1"),
    ("date__year__lt", "0"),
    ("contains", "a"),
]
# Django's admin writes a special character of a key as an underscore and its code: _00 is a null character.
KEYS = ["%00", "_00", "a_00b", "nonsense", "(", "9" * 30, quote("\ufffd"), "0", "-1", "__proto__", "x" * 300]


def url_of(model_admin, page: str) -> str:
    return reverse(f"admin:{model_admin.opts.app_label}_{model_admin.opts.model_name}_{page}")


def offered_parameters(model_admin, client) -> list[str]:
    """Return the names of all parameters with which the list can be filtered."""
    changelist = client.get(url_of(model_admin, "changelist")).context["cl"]
    names = [name for spec in changelist.filter_specs for name in spec.expected_parameters()]
    return [*names, *model_admin.link_filters]


@every_admin
class TestLists:
    def test_a_filter_rejects_a_null_character(self, model_admin):
        client = superuser_client()
        url = url_of(model_admin, "changelist")
        names = offered_parameters(model_admin, client)

        for name, value in zip([*names, "after"], cycle(["\x00", "a\x00b"])):
            response = client.get(url, {name: value})
            assert (response.status_code, response.get("Location")) == (302, f"{url}?e=1"), (name, value)

    def test_no_value_of_a_filter_causes_an_error(self, model_admin):
        deduct(make_balance(), 1)
        client = superuser_client()
        names = offered_parameters(model_admin, client)

        values = cycle(VALUES)
        for name in [*names, "q", "p", "o", "after", "all"]:
            for value in (next(values), next(values)):
                # The export reads the same rows as the list, and is faster.
                response: Any = client.get(url_of(model_admin, "export"), {name: value})
                assert response.status_code in {200, 302}, (name, value)
                assert response.status_code == 302 or b"".join(response.streaming_content)

    def test_no_parameter_of_the_list_causes_an_error(self, model_admin):
        client = superuser_client()

        for values in (["\x00", "(", "9" * 30], ["(", "9" * 30, "\x00"]):
            parameters = dict(zip(["q", "o", "p"], values, strict=True))
            assert client.get(url_of(model_admin, "changelist"), parameters).status_code == 200, parameters

    def test_only_what_the_list_offers_can_be_a_filter(self, model_admin):
        client = superuser_client()
        url = url_of(model_admin, "changelist")
        offered = offered_parameters(model_admin, client)

        names = [field.name for field in model_admin.opts.get_fields()] + ["pk", "nonsense", "user__password"]
        lookups = cycle(LOOKUPS)
        for name in names:
            lookup, value = next(lookups)
            parameter = f"{name}__{lookup}"
            if parameter not in offered:
                response = client.get(url, {parameter: value})
                assert (response.status_code, response.get("Location")) == (302, f"{url}?e=1"), parameter

    def test_a_list_after_an_invalid_filter_says_so(self, model_admin):
        response = superuser_client().get(url_of(model_admin, "changelist"), {"nonsense__regex": "("}, follow=True)

        assert messages_of(response) == ["This list has no such filter."]

    def test_the_export_rejects_what_the_list_rejects(self, model_admin):
        client = superuser_client()

        for params in ({"nonsense__regex": "("}, {"id": "\x00"}, {"created_at__year": "99999"}):
            response = client.get(url_of(model_admin, "export"), params)
            assert (response.status_code, response["Location"]) == (302, "../?e=1")

    def test_no_key_in_an_address_causes_an_error(self, model_admin):
        client = superuser_client()
        others = ["history/", "delete/", "history/1/", "history/\x00/", "history/x/", "password/", "retry/", ""]
        # Every key of the page itself, and two of them, in turn, of the pages below it.
        keys = cycle(KEYS)
        below = [(next(keys), page) for page in others for _ in range(2)]

        for key, page in [*((key, "change/") for key in KEYS), *below]:
            response = client.get(f"{url_of(model_admin, 'changelist')}{key}/{quote(page)}")
            assert response.status_code in {301, 302, 403, 404}, (key, page)
            response = client.post(f"{url_of(model_admin, 'changelist')}{key}/{quote(page)}")
            assert response.status_code in {301, 302, 403, 404, 405}, (key, page)


class TestOtherPages:
    @pytest.mark.parametrize("term", ["\x00", "a\x00", "&", "|:*", "'", "\\", "_", "\ufffd", "x" * 5000])
    def test_no_search_term_causes_an_error(self, term):
        make_balance()
        client = superuser_client()
        autocomplete = {"app_label": "identity", "model_name": "membership", "field_name": "user", "term": term}

        assert client.get(reverse("console_search"), {"q": term}).status_code == 200
        assert client.get(reverse("admin:console_find_owner"), {"q": term}).status_code == 200
        assert client.get(reverse("admin:autocomplete"), autocomplete).status_code in {200, 403}
