from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import pytest
from rest_framework import serializers as framework

from fluxori.api.errors import InvalidInputError
from fluxori.api.fields import Id, Rand, Text, WholeNumber
from fluxori.api.rendering import to_json
from fluxori.api.serializers import ResponseSerializer
from tests.support.api import EveryFieldQuery, EveryFieldRequest

pytestmark = [pytest.mark.urls("tests.support.api")]

USER_ID = "0190a000-0000-7000-8000-000000000001"


def field_codes(**body):
    with pytest.raises(InvalidInputError) as raised:
        EveryFieldRequest.parse({"amount": 9, **body})
    return {error.field: error.code for error in raised.value.errors}


class TestRequestSerializer:
    def test_parses_camel_case_names_to_declared_names(self):
        values = EveryFieldRequest.parse(
            {
                "amount": 9,
                "referenceId": "order-7",
                "expiresAt": "2026-03-01T12:00:00.5+02:00",
                "unitPrice": "0.10",
                "ownerId": USER_ID,
                "kind": "usage",
                "sendNow": False,
                "metadata": {"snake_case": 1, "camelCase": {"Mixed_up": None}},
                "inner": {"creditCount": 3},
            }
        )

        assert values == {
            "amount": 9,
            "reference_id": "order-7",
            "expires_at": datetime(2026, 3, 1, 10, 0, 0, 500_000, UTC),
            "unit_price": Decimal("0.10"),
            "owner_id": UUID(USER_ID),
            "kind": "usage",
            "send_now": False,
            "metadata": {"snake_case": 1, "camelCase": {"Mixed_up": None}},
            "inner": {"credit_count": 3},
            "priority": 50,
        }

    def test_parses_snake_case_names(self):
        assert EveryFieldRequest.parse({"amount": 9, "reference_id": "order-7"})["reference_id"] == "order-7"

    def test_rejects_both_names_of_one_field(self):
        assert field_codes(referenceId="a", reference_id="a") == {"reference_id": "unknown_field"}

    def test_rejects_unknown_fields_by_their_names_as_written(self):
        assert field_codes(foo_bar=1, Amount=2, reference_Id="x", **{"": 3}) == dict.fromkeys(
            ["foo_bar", "Amount", "reference_Id", ""], "unknown_field"
        )

    def test_reports_all_errors_together(self):
        with pytest.raises(InvalidInputError) as raised:
            EveryFieldRequest.parse({"kind": "other", "inner": {"creditCount": "3", "more": 1}, "expires_at": "today"})

        assert {error.field: error.code for error in raised.value.errors} == {
            "amount": "required",
            "kind": "invalid_choice",
            "inner.creditCount": "wrong_type",
            "inner.more": "unknown_field",
            "expires_at": "wrong_type",
        }

    @pytest.mark.parametrize("amount", ["9", 9.5, 9.0, True, None, [], {}, ""])
    def test_rejects_a_number_that_is_not_a_json_integer(self, amount):
        assert field_codes(amount=amount) == {"amount": "wrong_type"}

    @pytest.mark.parametrize("amount", [0, -1, 10**12 + 1, 2**63, 10**300])
    def test_rejects_a_number_out_of_range(self, amount):
        assert field_codes(amount=amount) == {"amount": "out_of_range"}

    @pytest.mark.parametrize(
        ("name", "value", "code"),
        [
            ("description", 5, "wrong_type"),
            ("description", None, "wrong_type"),
            ("description", "", "required"),
            ("description", " \n", "required"),
            ("description", "a\0b", "wrong_type"),
            ("description", "a\ud800b", "wrong_type"),
            ("description", "x" * 501, "too_long"),
            ("referenceId", True, "wrong_type"),
            ("expiresAt", "2026-03-01T12:00:00", "wrong_type"),
            ("expiresAt", "2026-03-01", "wrong_type"),
            ("expiresAt", "2026-02-30T12:00:00Z", "wrong_type"),
            ("expiresAt", "2026-03-01 12:00:00Z", "wrong_type"),
            ("expiresAt", 1_700_000_000, "wrong_type"),
            ("expiresAt", "0001-01-01T00:00:00+14:00", "out_of_range"),
            ("unitPrice", 0.1, "wrong_type"),
            ("unitPrice", "-0.10", "wrong_type"),
            ("unitPrice", "1e3", "wrong_type"),
            ("unitPrice", "NaN", "wrong_type"),
            ("unitPrice", "0.1234567", "out_of_range"),
            ("unitPrice", "1234567890123", "out_of_range"),
            ("ownerId", "7", "wrong_type"),
            ("ownerId", 7, "wrong_type"),
            ("ownerId", "{" + USER_ID + "}", "wrong_type"),
            ("kind", "other", "invalid_choice"),
            ("kind", 1, "wrong_type"),
            ("kind", ["usage"], "wrong_type"),
            ("sendNow", "true", "wrong_type"),
            ("sendNow", 1, "wrong_type"),
            ("metadata", [], "wrong_type"),
            ("metadata", "{}", "wrong_type"),
            ("metadata", {"a": ["\0"]}, "wrong_type"),
            ("metadata", {"\0": 1}, "wrong_type"),
            ("metadata", {"a": "\udfff"}, "wrong_type"),
            ("metadata", {"a": "x" * 4089}, "too_long"),
            ("inner", 3, "wrong_type"),
        ],
    )
    def test_rejects_an_invalid_value_with_its_field_code(self, name, value, code):
        assert field_codes(**{name: value}) == {name: code}

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("amount", 10**12),
            ("description", "x" * 500),
            ("description", "  kept as it is\n"),
            ("metadata", {"a": "x" * 4088}),
            ("metadata", {"a": "\\u0000"}),
            ("unitPrice", "123456789012.123456"),
            ("expiresAt", "2026-03-01t12:00:00.123456789z"),
        ],
    )
    def test_accepts_a_value_at_its_bound(self, name, value):
        assert EveryFieldRequest.parse({"amount": 1, name: value})

    def test_errors_are_listed_in_the_problem_document(self, api):
        response = api().post("/api/echo", {"amount": "9", "foo_bar": 1})

        assert response.status_code == 400
        assert response.json()["code"] == "invalid"
        assert response.json()["errors"] == [
            {"field": "foo_bar", "code": "unknown_field", "detail": "There is no such field."},
            {"field": "amount", "code": "wrong_type", "detail": "This must be a whole number."},
        ]

    def test_rejects_a_field_name_with_a_lone_surrogate(self, api):
        response = api().generic("POST", "/api/echo", b'{"\\ud800": 1, "amount": 1}', content_type="application/json")

        assert response.json()["errors"][0] == {
            "field": "?",
            "code": "unknown_field",
            "detail": "There is no such field.",
        }


class TestQuerySerializer:
    def test_parses_text_to_json_values(self, api):
        response = api().get(
            "/api/echo",
            {"from": "2026-03-01T12:00:00Z", "groupBy": "type", "amount": "9", "sendNow": "true", "user_id": USER_ID},
        )

        assert response.json()["payload"] == {
            "from_": "2026-03-01T12:00:00Z",
            "group_by": "type",
            "amount": 9,
            "send_now": True,
            "user_id": USER_ID,
        }

    @pytest.mark.parametrize(
        ("query", "field", "code"),
        [
            ("amount=9.5", "amount", "wrong_type"),
            ("amount=0", "amount", "out_of_range"),
            ("amount=" + "9" * 5000, "amount", "wrong_type"),
            ("amount=", "amount", "wrong_type"),
            ("amount=%D9%A3", "amount", "wrong_type"),
            ("amount=1&amount=1", "amount", "wrong_type"),
            ("groupBy=day&group_by=day", "group_by", "unknown_field"),
            ("group_by=year", "group_by", "invalid_choice"),
            ("sendNow=1", "sendNow", "wrong_type"),
            ("userId=7", "userId", "wrong_type"),
            ("from=2026-03-01T12:00:00", "from", "wrong_type"),
            ("from_=2026-03-01T12:00:00Z", "from_", "unknown_field"),
            ("limitt=5", "limitt", "unknown_field"),
        ],
    )
    def test_rejects_unknown_duplicate_and_invalid_parameters(self, api, query, field, code):
        response = api().get(f"/api/echo?{query}")

        assert response.status_code == 400
        assert [(e["field"], e["code"]) for e in response.json()["errors"]] == [(field, code)]

    def test_fills_in_defaults(self, api):
        assert api().get("/api/echo").json()["payload"] == {"group_by": "day"}

    def test_names_its_fields_in_camel_case(self):
        assert list(EveryFieldQuery.shared().fields) == ["from", "groupBy", "amount", "sendNow", "userId"]


class PriceResponse(ResponseSerializer):
    unit_price = Rand()


class ThingResponse(ResponseSerializer):
    owner_id = Id()
    seen_at = framework.DateTimeField(allow_null=True)
    credit_count = WholeNumber(source="count")
    price = PriceResponse(allow_null=True)
    past_prices = PriceResponse(many=True)
    shout = framework.SerializerMethodField()
    name = Text(source="owner.name")

    def get_shout(self, thing) -> str:
        return str(thing.owner.name).upper()


class TestResponseSerializer:
    def test_renders_names_in_camel_case_and_values_as_json(self):
        thing = SimpleNamespace(
            owner_id=UUID(USER_ID),
            seen_at=datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC),
            count=9,
            price={"unit_price": Decimal("0.000001")},
            past_prices=[{"unit_price": Decimal("1E+2")}],
            owner=SimpleNamespace(name="Thandi"),
        )

        assert to_json(ThingResponse.render(thing)) == (
            b'{"ownerId":"0190a000-0000-7000-8000-000000000001","seenAt":"2026-03-01T12:00:00.250000Z","creditCount":9,'
            b'"price":{"unitPrice":"0.000001"},"pastPrices":[{"unitPrice":"100"}],"shout":"THANDI","name":"Thandi"}'
        )
        assert ThingResponse(thing).data == ThingResponse.render(thing)

    def test_renders_none_as_null(self):
        thing = SimpleNamespace(
            owner_id=None, seen_at=None, count=0, price=None, past_prices=[], owner=SimpleNamespace(name="é")
        )

        assert ThingResponse.render(thing)["price"] is None
        assert "é".encode() in to_json(ThingResponse.render(thing))
