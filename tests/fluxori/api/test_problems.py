import pytest

from fluxori.api import problems
from fluxori.core import errors

pytestmark = [pytest.mark.urls("tests.support.api")]


def told(response):
    return response.status_code, response.json()["code"]


class TestProblems:
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
            ("get", "/api/visible", 401, "not_authenticated"),
            ("get", "/api/faulty/facts", 402, "no_funds"),
            ("get", "/api/faulty/secret", 500, "internal_error"),
            ("get", "/api/faulty/gone", 503, "database_unavailable"),
        ],
    )
    def test_are_the_answer_to_every_refusal(self, api, method, path, status, code):
        response = getattr(api(), method)(path, headers={"x-request-id": "caller-7"})

        assert told(response) == (status, code)
        assert response["Content-Type"] == "application/problem+json"
        body = response.json()
        assert {"type", "title", "status", "detail", "code", "requestId"} <= set(body)
        assert (body["status"], body["requestId"]) == (status, "caller-7")
        assert response["X-Request-Id"] == "caller-7"

    def test_carry_the_facts_in_camel_case(self, api):
        body = api().get("/api/faulty/facts").json()

        assert body["leftOver"] == 3
        assert (body["title"], body["detail"]) == ("There is nothing in it", "There is nothing in it.")

    def test_name_an_operations_fields_as_the_caller_knows_them(self, api):
        body = api().get("/api/faulty/fields").json()

        assert [(e["field"], e["code"]) for e in body["errors"]] == [("expiresAt", "in_past"), ("amount", "required")]

    def test_reveal_nothing_of_a_fault_but_log_it_under_its_id(self, api, caplog):
        response = api().get("/api/faulty/secret", headers={"x-request-id": "caller-7"})

        assert b"hunter2" not in response.content
        assert b"RuntimeError" not in response.content
        (logged,) = [record.msg for record in caplog.records if record.levelname == "ERROR"]
        assert (logged["event"], logged["request_id"], logged["exc_info"]) == ("request_failed", "caller-7", True)

    @pytest.mark.django_db
    def test_say_busy_when_the_database_does_not_answer_in_time(self, api):
        response = api().get("/api/faulty/slow")

        assert told(response) == (503, "busy")
        assert response["Retry-After"] == "1"

    def test_say_when_to_come_back(self, api):
        assert api().get("/api/faulty/gone")["Retry-After"] == "5"

    def test_challenge_whoever_has_no_token(self, api):
        assert api().get("/api/visible")["WWW-Authenticate"] == "Bearer"

    def test_name_the_methods_that_are_allowed(self, api):
        assert api().put("/api/echo")["Allow"].startswith("GET, POST")

    def test_refuse_an_answer_nobody_can_give(self, api):
        response = api().get("/api/echo", headers={"accept": "text/csv"})

        assert told(response) == (406, "not_acceptable")
        assert response["Content-Type"] == "application/problem+json"

    @pytest.mark.parametrize(
        "accept", ["*/*", "application/json", "application/*", "text/html, */*;q=0.1", "application/json; q=0.5"]
    )
    def test_leave_everybody_alone_who_takes_json(self, api, accept):
        response = api().get("/api/echo", headers={"accept": accept})

        assert (response.status_code, response["Content-Type"]) == (200, "application/json")

    def test_answer_a_host_we_do_not_know(self, api):
        response = api().get("/api/echo", headers={"host": "evil.example"})

        assert told(response) == (400, "malformed")

    def test_have_a_status_for_every_kind(self):
        kinds = [
            kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__base__ is errors.DomainError
        ]

        assert errors.InvalidRequestError in kinds
        assert set(kinds) <= set(problems.STATUS_OF_KIND)

    def test_leave_pages_for_people_alone(self, client):
        assert client.get("/elsewhere")["Content-Type"].startswith("text/html")


class TestRequestId:
    @pytest.mark.parametrize("insane", ["", "x" * 129, "a b", "a\x7fb", "é"])
    def test_is_new_where_the_callers_is_not_sane(self, api, insane):
        given = api().get("/api/echo", headers={"x-request-id": insane})["X-Request-Id"]

        assert given != insane
        assert len(given) == 36

    def test_is_the_callers_where_it_is_sane(self, api):
        assert api().get("/api/echo", headers={"x-request-id": "x" * 128})["X-Request-Id"] == "x" * 128


class TestKeyOf:
    def test_returns_the_key_or_none(self, api):
        assert api().post("/api/keyed", headers={"idempotency-key": "k" * 255}).json() == {"key": "k" * 255}
        assert api().post("/api/keyed").json() == {"key": None}
        assert api().post("/api/keyed", headers={"idempotency-key": ""}).json() == {"key": None}

    @pytest.mark.parametrize(
        ("key", "code"), [("k" * 256, "key_too_long"), ("a\x07b", "wrong_type"), ("é", "wrong_type")]
    )
    def test_refuses_a_key_that_is_too_long_or_not_printable(self, api, key, code):
        response = api().post("/api/keyed", headers={"idempotency-key": key})

        assert told(response) == (400, "invalid")
        assert [(e["field"], e["code"]) for e in response.json()["errors"]] == [("Idempotency-Key", code)]

    def test_is_answered_with_a_mark_when_it_was_answered_before(self, api):
        response = api().post("/api/keyed")

        assert (response.status_code, response["Idempotency-Replayed"]) == (201, "true")


class TestCors:
    def test_lets_a_configured_frontend_in(self, api, settings):
        settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]

        asked = api().options(
            "/api/echo",
            headers={
                "origin": "https://app.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": "idempotency-key",
            },
        )
        answered = api().get("/api/echo", headers={"origin": "https://app.example"})

        assert asked.status_code == 200
        assert {"idempotency-key", "x-request-id"} <= set(asked["Access-Control-Allow-Headers"].split(", "))
        assert answered["Access-Control-Allow-Origin"] == "https://app.example"
        assert "Idempotency-Replayed" in answered["Access-Control-Expose-Headers"]

    def test_lets_nobody_in_by_default(self, api):
        assert "Access-Control-Allow-Origin" not in api().get("/api/echo", headers={"origin": "https://app.example"})
