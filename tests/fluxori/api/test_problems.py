import psycopg
import pytest
from django.db import DatabaseError

from fluxori.api import problems
from fluxori.core import errors

pytestmark = [pytest.mark.urls("tests.support.api")]


def status_and_code(response):
    return response.status_code, response.json()["code"]


def database_error(sqlstate):
    """Return Django's error for a PostgreSQL error with this code."""
    error = DatabaseError()
    error.__cause__ = psycopg.errors.lookup(sqlstate)()
    return error


class TestUnreadableRequest:
    @pytest.mark.parametrize("path", ["/api/echo", "/api/docs"])
    def test_with_more_than_1000_parameters_is_malformed(self, api, path, settings):
        settings.ROOT_URLCONF = "fluxori.urls" if path == "/api/docs" else settings.ROOT_URLCONF
        response = api().get(path + "?" + "&".join(f"p{n}=1" for n in range(1001)), headers={"accept": "*/*"})

        assert (response["Content-Type"], *status_and_code(response)) == ("application/problem+json", 400, "malformed")
        assert response.json()["detail"] == "More than 1000 parameters."


class TestProblemDocument:
    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("get", "/api/nope", 404, "not_found"),
            ("get", "/api", 404, "not_found"),
            ("post", "/api/nope/", 404, "not_found"),
            ("get", "/api/echo/", 404, "not_found"),
            ("get", "/health/nope", 404, "not_found"),
            ("put", "/api/echo", 405, "method_not_allowed"),
            ("options", "/api/echo", 405, "method_not_allowed"),
            ("get", "/api/visible-balances", 401, "not_authenticated"),
            ("get", "/api/failing/domain-error", 402, "no_funds"),
            ("get", "/api/failing/unexpected", 500, "internal_error"),
            ("get", "/api/failing/lost-connection", 503, "database_unavailable"),
        ],
    )
    def test_is_the_response_to_every_error_with_its_status_and_code(self, api, method, path, status, code):
        response = getattr(api(), method)(path, headers={"x-request-id": "caller-7"})

        assert status_and_code(response) == (status, code)
        assert response["Content-Type"] == "application/problem+json"
        body = response.json()
        assert {"type", "title", "status", "detail", "code", "requestId"} <= set(body)
        assert (body["status"], body["requestId"]) == (status, "caller-7")
        assert response["X-Request-Id"] == "caller-7"

    def test_contains_the_facts_of_a_domain_error_in_camel_case(self, api):
        body = api().get("/api/failing/domain-error").json()

        assert body["leftOver"] == 3
        assert (body["title"], body["detail"]) == ("The balance is empty", "The balance is empty.")

    def test_names_the_arguments_of_an_operation_in_camel_case(self, api):
        body = api().get("/api/failing/field-errors").json()

        assert [(e["field"], e["code"]) for e in body["errors"]] == [("expiresAt", "in_past"), ("amount", "required")]

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            ({}, ["memberId", "from"]),
            ({"memberId": "x", "from": "x"}, ["memberId", "from"]),
            ({"member_id": "x", "from": "x"}, ["member_id", "from"]),
        ],
        ids=["none", "camelCase", "snake_case"],
    )
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_names_the_arguments_of_an_operation_as_the_caller_wrote_them(self, api, method, names, expected):
        body = getattr(api(), method)("/api/invalid-argument", names).json()

        assert [error["field"] for error in body["errors"]] == expected
        assert body["detail"] == "; ".join(f"{name}: Why." for name in expected)

    def test_reveals_nothing_of_an_unexpected_error_which_is_logged_with_its_request_id(self, api, caplog):
        response = api().get("/api/failing/unexpected", headers={"x-request-id": "caller-7"})

        assert b"hunter2" not in response.content
        assert b"RuntimeError" not in response.content
        (record,) = [record.msg for record in caplog.records if record.levelname == "ERROR"]
        assert (record["event"], record["request_id"], record["status"]) == ("request", "caller-7", 500)
        assert record["exc_info"][0] is RuntimeError

    @pytest.mark.django_db
    def test_is_busy_if_the_database_does_not_respond_in_time(self, api):
        response = api().get("/api/failing/statement-timeout")

        assert status_and_code(response) == (503, "busy")
        assert response["Retry-After"] == "1"

    @pytest.mark.parametrize("sqlstate", ["08006", "53300", "57P01", "58030", "XX000", "25006"])
    def test_is_database_unavailable_for_errors_of_the_server_and_of_the_connection(self, sqlstate):
        problem = problems.expected_problem(database_error(sqlstate))

        assert problem is not None
        assert (problem.status, problem.code) == (503, "database_unavailable")

    @pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03", "57014"])
    def test_is_busy_for_locks_timeouts_and_conflicts(self, sqlstate):
        problem = problems.expected_problem(database_error(sqlstate))

        assert problem is not None
        assert (problem.status, problem.code) == (503, "busy")

    @pytest.mark.parametrize("sqlstate", ["23505", "42601"])
    def test_is_an_internal_error_for_other_database_errors(self, sqlstate):
        assert problems.expected_problem(database_error(sqlstate)) is None

    def test_has_retry_after_if_the_database_is_unavailable(self, api):
        assert api().get("/api/failing/lost-connection")["Retry-After"] == "5"

    def test_has_www_authenticate_if_the_token_is_missing(self, api):
        assert api().get("/api/visible-balances")["WWW-Authenticate"] == "Bearer"

    def test_has_allow_if_the_method_is_not_allowed(self, api):
        assert api().put("/api/echo")["Allow"].startswith("GET, POST")

    def test_is_not_acceptable_if_the_client_does_not_accept_json(self, api):
        response = api().get("/api/echo", headers={"accept": "text/csv"})

        assert status_and_code(response) == (406, "not_acceptable")
        assert response["Content-Type"] == "application/problem+json"

    @pytest.mark.parametrize(
        "accept", ["*/*", "application/json", "application/*", "text/html, */*;q=0.1", "application/json; q=0.5"]
    )
    def test_is_not_returned_to_clients_that_accept_json_in_any_form(self, api, accept):
        response = api().get("/api/echo", headers={"accept": accept})

        assert (response.status_code, response["Content-Type"]) == (200, "application/json")

    def test_is_malformed_for_a_host_that_is_not_allowed(self, api):
        response = api().get("/api/echo", headers={"host": "evil.example"})

        assert status_and_code(response) == (400, "malformed")

    def test_has_a_status_for_every_kind_of_domain_error(self):
        kinds = [
            kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__base__ is errors.DomainError
        ]

        assert errors.InvalidRequestError in kinds
        assert set(kinds) <= set(problems.STATUS_BY_KIND)

    def test_is_not_used_outside_the_api(self, client):
        assert client.get("/elsewhere")["Content-Type"].startswith("text/html")


class TestRequestId:
    @pytest.mark.parametrize("invalid_id", ["", "x" * 129, "a b", "a\x7fb", "é"])
    def test_is_new_if_the_callers_is_missing_or_invalid(self, api, invalid_id):
        returned_id = api().get("/api/echo", headers={"x-request-id": invalid_id})["X-Request-Id"]

        assert returned_id != invalid_id
        assert len(returned_id) == 36

    def test_is_the_callers_if_it_is_valid(self, api):
        assert api().get("/api/echo", headers={"x-request-id": "x" * 128})["X-Request-Id"] == "x" * 128


class TestKeyFrom:
    def test_returns_the_header_or_none_if_it_is_missing(self, api):
        assert api().post("/api/idempotency-key", headers={"idempotency-key": "k" * 255}).json() == {"key": "k" * 255}
        assert api().post("/api/idempotency-key").json() == {"key": None}

    @pytest.mark.parametrize(
        ("key", "code"), [("k" * 256, "key_too_long"), ("a\x07b", "wrong_type"), ("é", "wrong_type"), ("", "required")]
    )
    def test_rejects_a_key_that_is_too_long_empty_or_not_printable_ascii(self, api, key, code):
        response = api().post("/api/idempotency-key", headers={"idempotency-key": key})

        assert status_and_code(response) == (400, "invalid")
        assert [(e["field"], e["code"]) for e in response.json()["errors"]] == [("Idempotency-Key", code)]


class TestIdempotentResponse:
    def test_has_a_header_if_the_result_is_replayed(self, api):
        response = api().post("/api/idempotency-key")

        assert (response.status_code, response["Idempotency-Replayed"]) == (201, "true")


class TestCors:
    def test_allows_a_configured_origin(self, api, settings):
        settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]

        preflight = api().options(
            "/api/echo",
            headers={
                "origin": "https://app.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": "idempotency-key",
            },
        )
        response = api().get("/api/echo", headers={"origin": "https://app.example"})

        assert preflight.status_code == 200
        assert {"idempotency-key", "x-request-id"} <= set(preflight["Access-Control-Allow-Headers"].split(", "))
        assert response["Access-Control-Allow-Origin"] == "https://app.example"
        assert "Idempotency-Replayed" in response["Access-Control-Expose-Headers"]

    def test_allows_no_origin_by_default(self, api):
        assert "Access-Control-Allow-Origin" not in api().get("/api/echo", headers={"origin": "https://app.example"})
