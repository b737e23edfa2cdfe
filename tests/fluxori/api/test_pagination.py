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
    queryset = Group.objects.exclude(name__in=ROLES)  # those are there from the start
    filterset_class = GroupFilters
    keyset = ("id",)

    def list(self, request):
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([group.name for group in page or []])


class PeopleViewSet(viewsets.GenericViewSet[User]):
    """Ordered by a column that repeats, so the second one decides."""

    permission_classes = (AllowAny,)
    queryset = User.objects.all()
    keyset = ("role", "id")

    def list(self, request):
        return self.get_paginated_response([str(u.pk) for u in self.paginate_queryset(self.get_queryset()) or []])


urlpatterns = [
    path("api/groups", GroupViewSet.as_view({"get": "list"})),
    path("api/others", GroupViewSet.as_view({"get": "list"})),
    path("api/people", PeopleViewSet.as_view({"get": "list"})),
]


@pytest.fixture
def groups():
    return [Group.objects.create(name=f"g{n}").name for n in range(1, 8)]


def told(response):
    return [(e["field"], e["code"]) for e in response.json()["errors"]]


def query_of(url):
    return {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}


class TestPages:
    def test_run_from_the_newest_to_the_oldest_and_back(self, api, groups):
        client = api()

        first = client.get("/api/groups?limit=3").json()
        second = client.get(first["next"]).json()
        third = client.get(second["next"]).json()
        back = client.get(third["previous"]).json()
        at_start = client.get(back["previous"]).json()

        assert [p["results"] for p in (first, second, third)] == [["g7", "g6", "g5"], ["g4", "g3", "g2"], ["g1"]]
        assert (first["previous"], third["next"]) == (None, None)
        assert back == second | {"previous": back["previous"], "next": back["next"]}
        assert at_start["results"] == first["results"]
        assert at_start["previous"] is None
        assert client.get(at_start["next"]).json()["results"] == second["results"]

    def test_have_absolute_links(self, api, groups):
        assert (
            api().get("/api/groups?limit=3").json()["next"].startswith("http://testserver/api/groups?limit=3&cursor=")
        )

    def test_do_not_shift_when_something_new_arrives(self, api, groups):
        first = api().get("/api/groups?limit=3").json()
        Group.objects.create(name="new")

        assert api().get(first["next"]).json()["results"] == ["g4", "g3", "g2"]

    def test_may_change_their_size_on_the_way(self, api, groups):
        following = api().get("/api/groups?limit=3").json()["next"]

        assert api().get(following.replace("limit=3", "limit=1")).json()["results"] == ["g4"]

    def test_walk_through_ties_without_losing_anybody(self, api):
        people = [UserFactory.create(role=role) for role in ["user", "service", "user", "admin", "user"]]
        expected = [str(u.pk) for u in sorted(people, key=lambda u: (u.role, u.pk), reverse=True)]

        walked: list[str] = []
        url = "/api/people?limit=2"
        while url:
            page = api().get(url).json()
            walked, url = walked + page["results"], page["next"]

        assert walked == expected

    def test_are_empty_without_links(self, api):
        assert api().get("/api/groups").json() == {"results": [], "next": None, "previous": None}

    def test_never_count(self, api, groups, django_assert_num_queries):
        with django_assert_num_queries(1) as asked:
            api().get("/api/groups?limit=2")

        assert "COUNT" not in asked[0]["sql"]

    @pytest.mark.parametrize("limit", ["0", "201", "-1", "many", "", "5.0"])
    def test_refuse_a_limit_outside_1_to_200(self, api, limit):
        response = api().get("/api/groups", {"limit": limit})

        assert (response.status_code, told(response)) == (400, [("limit", "out_of_range")])

    def test_take_a_limit_of_200(self, api, groups):
        assert len(api().get("/api/groups?limit=200").json()["results"]) == 7


class TestCursor:
    def cursor(self, api):
        return query_of(api().get("/api/groups?limit=3").json()["next"])["cursor"]

    @pytest.mark.parametrize(
        "twist", [lambda c: c[:-1], lambda c: "A" + c, lambda c: "x", lambda c: "", lambda c: "a:b"]
    )
    def test_is_refused_when_it_was_tampered_with(self, api, groups, twist):
        response = api().get("/api/groups", {"cursor": twist(self.cursor(api))})

        assert (response.status_code, told(response)) == (400, [("cursor", "invalid_cursor")])

    @pytest.mark.parametrize("elsewhere", ["/api/others?", "/api/groups?nameStarts=g&", "/api/people?"])
    def test_is_good_only_for_its_list_and_filters(self, api, groups, elsewhere):
        response = api().get(f"{elsewhere}cursor={self.cursor(api)}")

        assert (response.status_code, told(response)) == (400, [("cursor", "invalid_cursor")])

    def test_cannot_be_forged_with_a_good_signature_for_other_columns(self, api):
        forged = signing.Signer(salt="fluxori.page:/api/people?").sign_object(["older", "user", "not a uuid"])

        assert told(api().get("/api/people", {"cursor": forged})) == [("cursor", "invalid_cursor")]


class TestFilters:
    def test_narrow_under_either_spelling(self, api, groups):
        for query in ("nameStarts=g3", "name_starts=g3", "idAtLeast=1&nameStarts=g3"):
            assert api().get(f"/api/groups?{query}").json()["results"] == ["g3"]

    def test_stay_in_the_links(self, api, groups):
        following = api().get("/api/groups?nameStarts=g&limit=5").json()["next"]

        assert query_of(following)["nameStarts"] == "g"
        assert api().get(following).json()["results"] == ["g2", "g1"]

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
    def test_refuse_what_they_do_not_understand(self, api, query, field, code):
        response = api().get(f"/api/groups?{query}")

        assert (response.status_code, told(response)) == (400, [(field, code)])
