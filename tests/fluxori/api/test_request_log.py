import logging

import pytest

from fluxori.identity.models import User
from tests.support.factories.credits import make_balance, make_user


@pytest.fixture
def lines(caplog):
    """Return a function that returns the log lines of everything since the last call."""
    caplog.set_level(logging.INFO)

    def read():
        records = [record.msg for record in caplog.records]
        caplog.clear()
        return records

    return read


@pytest.mark.django_db
class TestLine:
    def test_names_method_path_status_duration_and_caller(self, api, lines):
        caller = make_user(role=User.Role.SERVICE)

        api(caller).get("/api/me?secret=1", headers={"x-request-id": "caller-7"})

        [line] = lines()
        assert (line["event"], line["request_id"]) == ("request", "caller-7")
        assert (line["method"], line["path"], line["status"]) == ("GET", "/api/me", 400)
        assert (line["caller"], line["caller_id"]) == ("service", str(caller.pk))
        assert 0 < line["duration_ms"] < 60_000
        assert "secret" not in str(line)

    def test_of_a_request_without_a_token_has_an_anonymous_caller(self, api, lines):
        api().get("/api/tiers")

        assert lines()[0]["caller"] == "anonymous"

    def test_of_a_page_of_the_admin_has_a_member_of_staff_as_caller(self, client, lines):
        client.force_login(make_user(is_staff=True, is_superuser=True))

        client.get("/admin/")

        [line] = lines()
        assert (line["path"], line["caller"]) == ("/admin/", "staff")

    def test_has_the_code_of_a_refusal(self, api, lines):
        api(make_user()).post("/api/credits/deduct", {"amount": 1, "description": "No balance"})

        [line] = lines()
        assert (line["status"], line["code"]) == (404, "balance_not_found")

    def test_of_a_refused_host_is_one_line_without_a_traceback(self, api, lines):
        response = api().get("/api/tiers", headers={"host": "evil.example"})

        assert response.status_code == 400
        [line] = lines()
        assert (line["status"], line["code"]) == (400, "malformed")
        assert "evil.example" in line["cause"]
        assert "exc_info" not in line

    def test_of_a_page_refused_for_its_host_is_one_line_too(self, client, lines):
        assert client.get("/admin/", headers={"host": "evil.example"}).status_code == 400

        assert [line["status"] for line in lines()] == [400]


@pytest.mark.django_db(transaction=True)
class TestTransaction:
    def test_of_a_deduction_is_in_the_line(self, api, lines):
        balance = make_balance()

        response = api(balance.user).post("/api/credits/deduct", {"amount": 1, "description": "One"})

        [line] = lines()
        assert line["transaction_id"] == response.json()["transaction"]["id"]

    def test_of_a_replay_is_in_the_line(self, api, lines):
        balance = make_balance()
        for _ in range(2):
            response = api(balance.user).post(
                "/api/credits/deduct", {"amount": 1, "description": "One"}, headers={"idempotency-key": "once"}
            )

        assert {line["transaction_id"] for line in lines()} == {response.json()["transaction"]["id"]}

    def test_several_of_a_batch_are_counted(self, api, lines):
        balance = make_balance()
        items = [{"amount": 1, "description": str(number)} for number in range(3)]

        assert api(balance.user).post("/api/credits/deduct/batch", {"items": items}).status_code == 200

        [line] = lines()
        assert (line["transactions"], "transaction_id" in line) == (3, False)
