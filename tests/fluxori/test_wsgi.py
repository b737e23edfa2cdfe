import json
from io import BytesIO
from typing import Any

import pytest

from fluxori.wsgi import application


def send_chunked(body: bytes):
    """Call the application as a server that decodes chunks does: without a length, with an input that ends by itself.

    Returns the status, the decoded body of the response, and the number of bytes that were read.
    """
    headers: dict[str, str] = {}
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/auth/token/verify",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "CONTENT_TYPE": "application/json",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": "http",
        "wsgi.errors": BytesIO(),
    }
    content = b"".join(application(environ, lambda status, _: headers.update(status=status)))
    return headers["status"][:3], json.loads(content), environ["wsgi.input"].tell()


@pytest.mark.django_db
class TestChunkedBody:
    def test_is_read_although_it_has_no_content_length(self):
        status, response, _ = send_chunked(b'{"token": "x"}')

        assert (status, response["code"]) == ("401", "token_not_valid")

    def test_above_the_limit_is_read_to_its_end_and_rejected_with_413(self):
        status, response, read = send_chunked(b" " * 10_000_000)

        assert (status, response["code"]) == ("413", "payload_too_large")
        assert read == 10_000_000
