"""Invalid fields of requests that write: each is rejected with its field code, and nothing is written."""

import pytest

from tests.credits.api.requests import (
    ADD,
    BODIES,
    DEDUCT,
    DEDUCTION,
    INITIALIZE,
    TIER,
    send,
    send_text,
)
from tests.support.factories.identity import UserFactory
from tests.support.ledger import table_digests
from tests.support.problems import problem_of

pytestmark = pytest.mark.django_db

INVALID_NUMBERS = [
    ("0", "out_of_range"),
    ("-1", "out_of_range"),
    ("9.5", "wrong_type"),
    ("9.0", "wrong_type"),
    ("9e0", "wrong_type"),
    ('"9"', "wrong_type"),
    ("true", "wrong_type"),
    ("null", "wrong_type"),
    ("[9]", "wrong_type"),
    (str(10**12 + 1), "out_of_range"),
    (str(2**63), "out_of_range"),
    ("1" * 400, "out_of_range"),
]


class TestNumbers:
    @pytest.mark.parametrize(("text", "code"), INVALID_NUMBERS)
    def test_rejects_an_invalid_amount_of_a_deduction(self, api, subscriber, text, code):
        before = table_digests()

        rejected = send_text(api(subscriber), DEDUCT, f'{{"amount": {text}, "description": "An insight"}}')

        assert problem_of(rejected) == (400, "invalid", [("amount", code)])
        assert table_digests() == before

    @pytest.mark.parametrize(("text", "code"), INVALID_NUMBERS)
    def test_rejects_an_invalid_quantity(self, api, subscriber, text, code):
        before = table_digests()

        rejected = send_text(api(subscriber), DEDUCT, f'{{"feature": "simple-ai-insight", "quantity": {text}}}')

        assert problem_of(rejected) == (400, "invalid", [("quantity", code)])
        assert table_digests() == before

    @pytest.mark.parametrize(("text", "code"), INVALID_NUMBERS)
    def test_rejects_an_invalid_amount_to_add(self, admin, subscriber, text, code):
        before = table_digests()
        body = f'{{"userId": "{subscriber.pk}", "amount": {text}, "type": "promotion", "description": "Welcome"}}'

        rejected = send_text(admin, ADD, body)

        assert problem_of(rejected) == (400, "invalid", [("amount", code)])
        assert table_digests() == before

    @pytest.mark.parametrize(("text", "code"), [row for row in INVALID_NUMBERS if row[0] != "0"])
    def test_rejects_an_invalid_initial_balance(self, admin, text, code):
        before = table_digests()
        body = f'{{"userId": "{UserFactory.create().pk}", "tier": "explorer", "initialBalance": {text}}}'

        rejected = send_text(admin, INITIALIZE, body)

        assert problem_of(rejected) == (400, "invalid", [("initialBalance", code)])
        assert table_digests() == before

    def test_rejects_a_quantity_whose_cost_is_out_of_range(self, api, subscriber):
        before = table_digests()

        rejected = api(subscriber).post(DEDUCT, {"feature": "ai-generated-report", "quantity": 10**12 // 40 + 1})

        assert problem_of(rejected) == (400, "invalid", [("quantity", "out_of_range")])
        assert table_digests() == before


class TestFields:
    @pytest.mark.parametrize("path", BODIES)
    def test_rejects_an_unknown_field_on_every_endpoint(self, admin, subscriber, path):
        before = table_digests()
        owner = {} if path == DEDUCT else {"userId": str(subscriber.pk)}

        rejected = send(admin, path, {**BODIES[path], **owner, "colour": "red"})

        assert problem_of(rejected) == (400, "invalid", [("colour", "unknown_field")])
        assert table_digests() == before

    def test_rejects_a_field_given_in_camel_case_and_snake_case(self, api, subscriber):
        before = table_digests()

        rejected = api(subscriber).post(DEDUCT, {**DEDUCTION, "referenceId": "a", "reference_id": "b"})

        assert problem_of(rejected) == (400, "invalid", [("reference_id", "unknown_field")])
        assert table_digests() == before

    def test_reports_all_invalid_fields_together(self, admin):
        rejected = admin.post(ADD, {"userId": "me", "amount": "9", "type": "gift", "colour": "red"})

        status, code, errors = problem_of(rejected)
        assert (status, code) == (400, "invalid")
        assert set(errors) == {
            ("colour", "unknown_field"),
            ("userId", "wrong_type"),
            ("amount", "wrong_type"),
            ("type", "invalid_choice"),
            ("description", "required"),
        }

    @pytest.mark.parametrize(
        ("body", "errors"),
        [
            ({}, [("amount", "required")]),
            ({"description": "Nothing"}, [("amount", "required")]),
            ({"amount": 9}, [("description", "required")]),
            ({"amount": 9, "description": "  "}, [("description", "required")]),
            ({**DEDUCTION, "feature": "simple-ai-insight"}, [("amount", "invalid_choice")]),
            ({**DEDUCTION, "quantity": 2}, [("quantity", "invalid_choice")]),
            ({**DEDUCTION, "description": "x" * 501}, [("description", "too_long")]),
            ({**DEDUCTION, "description": 7}, [("description", "wrong_type")]),
            ({**DEDUCTION, "referenceId": "x" * 256}, [("referenceId", "too_long")]),
            ({**DEDUCTION, "metadata": "note"}, [("metadata", "wrong_type")]),
            ({**DEDUCTION, "metadata": {"note": "x" * 4096}}, [("metadata", "too_long")]),
            ({**DEDUCTION, "metadata": {"note": "a\0b"}}, [("metadata", "wrong_type")]),
            ({**DEDUCTION, "userId": "me"}, [("userId", "wrong_type")]),
        ],
    )
    def test_rejects_invalid_fields_of_a_deduction(self, api, subscriber, body, errors):
        before = table_digests()

        rejected = api(subscriber).post(DEDUCT, body)

        assert problem_of(rejected) == (400, "invalid", errors)
        assert table_digests() == before

    @pytest.mark.parametrize("field", ["description", "referenceId"])
    def test_rejects_a_text_with_a_lone_surrogate(self, api, subscriber, field):
        before = table_digests()
        text = {"description": '"An insight"', field: r'"\ud800"'}
        members = ", ".join(f'"{name}": {value}' for name, value in text.items())

        rejected = send_text(api(subscriber), DEDUCT, f'{{"amount": 9, {members}}}')

        assert problem_of(rejected) == (400, "invalid", [(field, "wrong_type")])
        assert table_digests() == before


class TestCodes:
    @pytest.mark.parametrize("path", [INITIALIZE, TIER])
    def test_rejects_an_unknown_tier(self, admin, subscriber, path):
        owner = subscriber if path == TIER else UserFactory.create()
        before = table_digests()

        rejected = send(admin, path, {"userId": str(owner.pk), "tier": "platinum"})

        assert problem_of(rejected) == (404, "tier_not_found", [])
        assert table_digests() == before

    def test_rejects_an_unknown_feature(self, api, subscriber):
        before = table_digests()

        rejected = api(subscriber).post(DEDUCT, {"feature": "time-travel"})

        assert problem_of(rejected) == (404, "feature_not_found", [])
        assert rejected.json()["feature"] == "time-travel"
        assert table_digests() == before
