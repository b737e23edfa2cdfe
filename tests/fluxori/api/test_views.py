"""What all views have in common: nothing that a request contains is ignored, and headers have one value."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from credits import operations
from fluxori.api.views import StrictView
from fluxori.identity import tokens
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import AdminFactory, UserFactory
from tests.support.problems import invalid, problem_of

pytestmark = pytest.mark.django_db

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
WRITES = {"post", "put", "patch"}


def endpoints(resolver: URLResolver, prefix: str = "/") -> Iterator[tuple[str, str, Any]]:
    """Return the method, path and view of every endpoint of the API that is a view of the framework."""
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from endpoints(pattern, path) if path.startswith("/api/") else ()
        elif isinstance(pattern, URLPattern) and hasattr(pattern.callback, "actions"):
            view: Any = pattern.callback
            for name in ("organization_id", "user_id", "hold_id", "limit_id", "transaction_id", "grant_id"):
                path = path.replace(f"<uuid:{name}>", ID)
            yield from ((method, path, view.cls) for method in view.actions)


ENDPOINTS = list(endpoints(get_resolver("fluxori.urls")))


@pytest.fixture
def admin(api):
    return api(AdminFactory.create())


class TestStrictView:
    def test_is_the_base_of_every_view(self):
        assert len(ENDPOINTS) > 40
        assert {view for _, _, view in ENDPOINTS if not issubclass(view, StrictView)} == set()

    @pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in ENDPOINTS])
    def test_rejects_a_parameter_that_does_not_exist(self, admin, method, path):
        response = getattr(admin, method)(f"{path}?noSuchParameter=3")

        if "members" in path and method == "get":  # the organization is looked up first
            assert response.status_code == 404
        else:
            assert ("noSuchParameter", "unknown_field") in problem_of(response)[2]

    @pytest.mark.parametrize(("method", "path"), [(m, p) for m, p, _ in ENDPOINTS if m == "delete"])
    def test_rejects_a_body_of_a_delete(self, admin, method, path):
        response = getattr(admin, method)(path, {"organizationId": ID})

        assert problem_of(response) == invalid("organizationId", "unknown_field")

    @pytest.mark.parametrize("query", ["amount=3", "organizationId=" + ID, "amount=3&amount=3", "cursor=", "limit=1"])
    def test_writes_nothing_if_the_query_of_a_write_has_a_parameter(self, api, query):
        user = UserFactory.create()
        make_balance(owner=user, grants=[(100, None)])
        hold = operations.place_hold(owner=user, amount=20, description="A report", actor=user).hold

        response = api(user).post(f"/api/credits/holds/{hold.id}/capture?{query}")

        assert problem_of(response) == invalid(query.split("=")[0], "unknown_field")
        assert api(user).get("/api/credits/balance").json()["held"] == 20

    @pytest.mark.parametrize(("path", "allowed"), [("/api/me", "GET, HEAD"), ("/api/users", "GET, HEAD, POST")])
    def test_lists_in_allow_only_methods_that_it_supports(self, admin, path, allowed):
        response = admin.options(path)

        assert (response.status_code, set(response["Allow"].split(", "))) == (405, set(allowed.split(", ")))


class TestHeadersWithOneValue:
    BODY = {"amount": 9, "description": "An insight"}

    @pytest.fixture
    def user(self):
        user = UserFactory.create()
        make_balance(owner=user, grants=[(100, None)])
        return user

    # WSGI servers join repeated headers with a comma.

    @pytest.mark.parametrize("repeated", ["k1,k1", "k1, k1", "k1,k1,k1"])
    def test_a_repeated_idempotency_key_is_one_key(self, api, user, repeated):
        first = api(user).post("/api/credits/deduct", self.BODY, headers={"idempotency-key": repeated})
        retry = api(user).post("/api/credits/deduct", self.BODY, headers={"idempotency-key": "k1"})

        assert (first.status_code, retry.status_code) == (200, 200)
        assert retry["Idempotency-Replayed"] == "true"
        assert first.json()["transaction"]["idempotencyKey"] == "k1"
        assert retry.json()["available"] == 91

    def test_a_comma_with_a_space_after_it_is_part_of_the_value(self, api, user):
        response = api(user).post("/api/credits/deduct", self.BODY, headers={"idempotency-key": "no, thanks"})

        assert response.json()["transaction"]["idempotencyKey"] == "no, thanks"

    @pytest.mark.parametrize("header", ["Idempotency-Key", "X-Request-Id", "Authorization"])
    def test_a_header_with_two_values_is_rejected(self, api, user, header):
        headers = {"Authorization": f"Bearer {tokens.issue(user).access}", header: "Bearer k1,Bearer k2"}

        response = api().post("/api/credits/deduct", self.BODY, headers=headers)

        assert problem_of(response) == invalid(header, "wrong_type")
        assert api(user).get("/api/credits/balance").json()["available"] == 100

    def test_a_repeated_token_and_request_id_are_one(self, api, user):
        token = f"Bearer {tokens.issue(user).access}"
        headers = {"Authorization": f"{token},{token}", "X-Request-Id": "caller-7,caller-7"}

        response = api().get("/api/me", headers=headers)

        assert (response.status_code, response["X-Request-Id"]) == (200, "caller-7")

    def test_two_request_ids_are_replaced_by_a_new_one(self, api):
        response = api().get("/api/me", headers={"X-Request-Id": "caller-7,caller-8"})

        assert "caller" not in response["X-Request-Id"]
        assert response.json()["requestId"] == response["X-Request-Id"]
