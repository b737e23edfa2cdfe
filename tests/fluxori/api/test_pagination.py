from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Group
from django.core import signing
from django.urls import path
from rest_framework import viewsets
from rest_framework.permissions import AllowAny

from fluxori.api.fields import Text, WholeNumber
from fluxori.api.filters import Filters, QueryFilter
from fluxori.identity.models import User
from tests.support.factories.identity import UserFactory
from tests.support.staff import ROLES

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.fluxori.api.test_pagination")]


class GroupFilters(Filters):
    name_starts = QueryFilter(Text(), field_name="name", lookup_expr="startswith")
    id_at_least = QueryFilter(WholeNumber(min_value=1), field_name="id", lookup_expr="gte")


class GroupViewSet(viewsets.GenericViewSet[Group]):
    permission_classes = (AllowAny,)
    queryset = Group.objects.exclude(name__in=ROLES)  # created by a migration
    filterset_class = GroupFilters
    keyset = ("id",)

    def list(self, request):
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([group.name for group in page or []])


class UserViewSet(viewsets.GenericViewSet[User]):
    """Ordered by a column with equal values, so that the second column decides."""

    permission_classes = (AllowAny,)
    queryset = User.objects.all()
    keyset = ("role", "id")

    def list(self, request):
        return self.get_paginated_response([str(u.pk) for u in self.paginate_queryset(self.get_queryset()) or []])


urlpatterns = [
    path("api/groups", GroupViewSet.as_view({"get": "list"})),
    path("api/other-groups", GroupViewSet.as_view({"get": "list"})),
    path("api/users", UserViewSet.as_view({"get": "list"})),
]


@pytest.fixture
def groups():
    return [Group.objects.create(name=f"g{n}").name for n in range(1, 8)]


def field_errors(response):
    return [(e["field"], e["code"]) for e in response.json()["errors"]]


def query_of(url):
    return {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}


class TestPages:
    def test_go_from_newest_to_oldest_and_back(self, api, groups):
        client = api()

        first = client.get("/api/groups?limit=3").json()
        second = client.get(first["next"]).json()
        third = client.get(second["next"]).json()
        previous = client.get(third["previous"]).json()
        at_start = client.get(previous["previous"]).json()

        assert [p["results"] for p in (first, second, third)] == [["g7", "g6", "g5"], ["g4", "g3", "g2"], ["g1"]]
        assert (first["previous"], third["next"]) == (None, None)
        assert previous == second | {"previous": previous["previous"], "next": previous["next"]}
        assert at_start["results"] == first["results"]
        assert at_start["previous"] is None
        assert client.get(at_start["next"]).json()["results"] == second["results"]

    def test_have_absolute_urls_as_links(self, api, groups):
        assert (
            api().get("/api/groups?limit=3").json()["next"].startswith("http://testserver/api/groups?limit=3&cursor=")
        )

    def test_do_not_shift_when_a_row_is_added(self, api, groups):
        first = api().get("/api/groups?limit=3").json()
        Group.objects.create(name="new")

        assert api().get(first["next"]).json()["results"] == ["g4", "g3", "g2"]

    def test_may_have_another_limit_than_the_page_before(self, api, groups):
        next_url = api().get("/api/groups?limit=3").json()["next"]

        assert api().get(next_url.replace("limit=3", "limit=1")).json()["results"] == ["g4"]

    def test_contain_every_row_once_if_the_first_key_column_has_ties(self, api):
        users = [UserFactory.create(role=role) for role in ["user", "service", "user", "admin", "user"]]
        expected = [str(u.pk) for u in sorted(users, key=lambda u: (u.role, u.pk), reverse=True)]

        listed: list[str] = []
        url = "/api/users?limit=2"
        while url:
            page = api().get(url).json()
            listed, url = listed + page["results"], page["next"]

        assert listed == expected

    def test_have_no_links_if_the_list_is_empty(self, api):
        assert api().get("/api/groups").json() == {"results": [], "next": None, "previous": None}

    def test_are_read_in_one_query_without_count(self, api, groups, django_assert_num_queries):
        with django_assert_num_queries(1) as queries:
            api().get("/api/groups?limit=2")

        assert "COUNT" not in queries[0]["sql"]

    @pytest.mark.parametrize("limit", ["0", "201", "-1", "many", "", "5.0"])
    def test_reject_a_limit_outside_1_to_200(self, api, limit):
        response = api().get("/api/groups", {"limit": limit})

        assert (response.status_code, field_errors(response)) == (400, [("limit", "out_of_range")])

    def test_accept_a_limit_of_200(self, api, groups):
        assert len(api().get("/api/groups?limit=200").json()["results"]) == 7


class TestCursor:
    def cursor(self, api):
        return query_of(api().get("/api/groups?limit=3").json()["next"])["cursor"]

    @pytest.mark.parametrize(
        "change", [lambda c: c[:-1], lambda c: "A" + c, lambda c: "x", lambda c: "", lambda c: "a:b"]
    )
    def test_is_rejected_if_it_was_changed(self, api, groups, change):
        response = api().get("/api/groups", {"cursor": change(self.cursor(api))})

        assert (response.status_code, field_errors(response)) == (400, [("cursor", "invalid_cursor")])

    @pytest.mark.parametrize("other_list", ["/api/other-groups?", "/api/groups?nameStarts=g&", "/api/users?"])
    def test_is_rejected_for_another_list_or_other_filters(self, api, groups, other_list):
        response = api().get(f"{other_list}cursor={self.cursor(api)}")

        assert (response.status_code, field_errors(response)) == (400, [("cursor", "invalid_cursor")])

    def test_is_rejected_if_its_signed_values_do_not_fit_the_key_columns(self, api):
        forged_cursor = signing.Signer(salt="fluxori.page:/api/users?").sign_object(["older", "user", "not a uuid"])

        assert field_errors(api().get("/api/users", {"cursor": forged_cursor})) == [("cursor", "invalid_cursor")]


class TestFilters:
    def test_select_rows_by_camel_case_and_snake_case_names(self, api, groups):
        for query in ("nameStarts=g3", "name_starts=g3", "idAtLeast=1&nameStarts=g3"):
            assert api().get(f"/api/groups?{query}").json()["results"] == ["g3"]

    def test_are_kept_in_the_links(self, api, groups):
        next_url = api().get("/api/groups?nameStarts=g&limit=5").json()["next"]

        assert query_of(next_url)["nameStarts"] == "g"
        assert api().get(next_url).json()["results"] == ["g2", "g1"]

    @pytest.mark.parametrize(
        ("query", "field", "code"),
        [
            ("nope=1", "nope", "unknown_field"),
            ("name=g1", "name", "unknown_field"),
            ("name_Starts=g1", "name_Starts", "unknown_field"),
            ("idAtLeast=x", "idAtLeast", "wrong_type"),
            ("idAtLeast=0", "idAtLeast", "out_of_range"),
            ("idAtLeast=", "idAtLeast", "wrong_type"),
            ("nameStarts=a&nameStarts=b", "nameStarts", "wrong_type"),
            ("nameStarts=a%00", "nameStarts", "wrong_type"),
        ],
    )
    def test_reject_unknown_duplicate_and_invalid_parameters(self, api, query, field, code):
        response = api().get(f"/api/groups?{query}")

        assert (response.status_code, field_errors(response)) == (400, [(field, code)])
