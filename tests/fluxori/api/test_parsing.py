import json
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory

from fluxori.api.errors import PayloadTooLargeError
from fluxori.api.parsing import JSONParser

pytestmark = [pytest.mark.urls("tests.support.api")]

MEBIBYTE = 1024 * 1024


def send(api, body, path="/api/echo", content_type="application/json"):
    return api().generic("POST", path, body, content_type=content_type)


class TestParse:
    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b" ",
            b"not json",
            b"{'amount': 9}",
            b'{"amount": NaN}',
            b'{"amount": Infinity}',
            b'{"amount": 1e999}',
            b'{"amount": 9, "amount": 10}',
            b'{"amount": 9, "metadata": {"a": 1, "a": 2}}',
            b'{"amount": 9}}',
            b'\xff{"amount": 9}',
            b'\xef\xbb\xbf{"amount": 9}',
            b'{"amount": ' + b"9" * 5000 + b"}",
            b'{"metadata": ' + b"[" * 40 + b"]" * 40 + b"}",
            b"[" * 60_000,
            b'{"a":' * 12_000,
        ],
        ids=lambda body: repr(body[:40]),
    )
    def test_rejects_a_body_that_is_not_unambiguous_json(self, api, body):
        response = send(api, body)

        assert (response.status_code, response.json()["code"]) == (400, "malformed")
        assert response["Content-Type"] == "application/problem+json"

    @pytest.mark.parametrize("body", [b"[]", b'"amount"', b"9", b"null", b"[[[]]]"])
    def test_rejects_json_that_is_not_an_object(self, api, body):
        response = send(api, body)

        assert response.status_code == 400
        assert response.json()["errors"] == [
            {"field": "", "code": "wrong_type", "detail": "The body must be a JSON object."}
        ]

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b'\xef\xbb\xbf{"amount": 9}', "The body begins with a byte order mark. Send JSON without one."),
            (b'{"amount": ' + b"9" * 5000 + b"}", "The body is not JSON: a number is too large"),
        ],
        ids=["byte order mark", "5,000 digits"],
    )
    def test_says_what_is_wrong_with_the_body(self, api, body, reason):
        assert send(api, body).json()["detail"] == reason

    @pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, identity", "BR"])
    def test_rejects_a_content_encoding_by_name_also_if_the_body_is_plain(self, api, encoding):
        response = api().generic(
            "POST", "/api/echo", b'{"amount": 9}', "application/json", HTTP_CONTENT_ENCODING=encoding
        )

        assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
        assert response.json()["detail"] == f"The content encoding '{encoding}' is not supported. Send plain JSON."

    def test_accepts_the_content_encoding_identity(self, api):
        response = api().generic(
            "POST", "/api/echo", b'{"amount": 9}', "application/json", HTTP_CONTENT_ENCODING="identity"
        )

        assert response.status_code == 200

    @pytest.mark.parametrize(
        "content_type",
        [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/xml",
            "*/*",
            "application/*",
            "application/problem+json",
            "application/json; charset=latin-1",
        ],
    )
    def test_rejects_another_media_type(self, api, content_type):
        response = send(api, b'{"amount": 9}', content_type=content_type)

        assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")

    def test_accepts_a_charset_and_nesting_within_the_limit(self, api):
        body = json.dumps({"amount": 9, "metadata": {"a": [[[[1]]]], "b": [{}] * 40}}).encode()

        assert send(api, body, content_type="application/json; charset=utf-8").status_code == 200


class TestSize:
    def test_is_at_most_64_kib_by_default(self, api):
        fits = b'{"amount": 9}'.ljust(64 * 1024)

        assert send(api, fits).status_code == 200
        rejected = send(api, fits + b" ")
        assert (rejected.status_code, rejected.json()["code"], rejected.json()["limit"]) == (
            413,
            "payload_too_large",
            65536,
        )

    def test_may_be_larger_if_the_view_allows_it(self, api):
        assert send(api, b'{"amount": 9}'.ljust(MEBIBYTE), path="/api/large-body").status_code == 200
        assert send(api, b'{"amount": 9}'.ljust(MEBIBYTE + 1), path="/api/large-body").status_code == 413

    @pytest.mark.parametrize("declared", [10 * MEBIBYTE, 12], ids=["true length", "false length"])
    def test_beyond_the_limit_is_discarded_in_chunks_up_to_32_mib(self, declared):
        stream: Any = EndlessStream()

        with pytest.raises(PayloadTooLargeError):
            JSONParser().parse(stream, parser_context={"request": request_of_length(length=declared)})

        assert stream.largest <= 64 * 1024 + 1
        assert 10 * MEBIBYTE <= stream.read_bytes <= 33 * MEBIBYTE

    def test_of_ten_mebibytes_gets_a_413_response(self, api):
        assert send(api, b" " * 10 * MEBIBYTE).status_code == 413


class EndlessStream:
    """A stream that never ends and counts the bytes read."""

    read_bytes = 0
    largest = 0

    def read(self, size: int) -> bytes:
        self.largest = max(self.largest, size)
        self.read_bytes += size
        return b" " * size


def request_of_length(length: int) -> WSGIRequest:
    return RequestFactory().post("/", CONTENT_LENGTH=str(length))
