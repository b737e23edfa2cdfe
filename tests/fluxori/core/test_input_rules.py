from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from fluxori.core.input_rules import (
    canonical_json,
    idempotency_key_error,
    is_storable,
    metadata_error,
    name_error,
)


def code_of(error):
    return error and error[0]


class TestIdempotencyKeyError:
    @pytest.mark.parametrize("key", ["k", "k" * 255, "a key with spaces", "schl\u00fcssel"])
    def test_accepts_1_to_255_printable_characters(self, key):
        assert idempotency_key_error(key) is None

    @pytest.mark.parametrize(
        ("key", "code"),
        [
            ("", "wrong_type"),
            ("a\tb", "wrong_type"),
            (7, "wrong_type"),
            (None, "wrong_type"),
            ("k" * 256, "key_too_long"),
        ],
    )
    def test_rejects_other_values_with_their_code(self, key, code):
        assert code_of(idempotency_key_error(key)) == code


class TestMetadataError:
    @pytest.mark.parametrize("value", [{}, {"a": "x" * 4088}, {"a": "\\u0000"}, {"a": [1, None, {"b": "\u00e9"}]}])
    def test_accepts_a_json_object_of_at_most_4096_bytes(self, value):
        assert metadata_error(value) is None

    @pytest.mark.parametrize(
        ("value", "code"),
        [
            ([], "wrong_type"),
            ("{}", "wrong_type"),
            ({"a": object()}, "wrong_type"),
            ({"a": float("nan")}, "wrong_type"),
            ({"a": ["\0"]}, "wrong_type"),
            ({"\0": 1}, "wrong_type"),
            ({"a": "\\\0"}, "wrong_type"),
            ({"a": "\udfff"}, "wrong_type"),
            ({"a": "x" * 4089}, "too_long"),
            ({"a": "\u00e9" * 2045}, "too_long"),
        ],
    )
    def test_rejects_other_values_with_their_code(self, value, code):
        assert code_of(metadata_error(value)) == code


class TestIsStorable:
    def test_is_false_for_nul_and_lone_surrogates(self):
        assert is_storable("a\n\u00e9")
        assert not is_storable("a\0b")
        assert not is_storable("a\ud800b")


class TestCanonicalJson:
    def test_sorts_keys_and_writes_times_in_utc(self):
        value = {
            "time": datetime.fromisoformat("2026-03-01T12:00:00+02:00"),
            "id": UUID(int=7),
            "amount": Decimal("0.10"),
        }

        assert canonical_json(value) == (
            '{"amount":"0.10","id":"00000000-0000-0000-0000-000000000007","time":"2026-03-01T10:00:00+00:00"}'
        )

    def test_is_the_same_for_the_same_time_in_another_zone(self):
        utc = datetime(2026, 3, 1, 10, tzinfo=UTC)

        assert canonical_json(utc) == canonical_json(datetime.fromisoformat("2026-03-01T12:00:00+02:00"))


class TestNameError:
    @pytest.mark.parametrize("name", ["نمی\u200cبینم", "ന്\u200d", "क्\u200cष", "ක්\u200dෂ"])
    def test_accepts_joiners_where_a_script_needs_them(self, name):
        assert name_error(name) is None

    @pytest.mark.parametrize(
        "name", ["a\u200cb", "a\u200db", "\u200cb", "می\u200c", "م\u200dن", "م\u200c\u200cن", "क\u200dष", "👩\u200d🚀"]
    )
    def test_rejects_joiners_elsewhere(self, name):
        assert code_of(name_error(name)) == "wrong_type"
