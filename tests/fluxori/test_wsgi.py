import json
from io import BytesIO
from typing import Any

import pytest

from fluxori.wsgi import application


class BrokenChunks:
    """The input of a server that finds an invalid chunk: its error is of a class that Django does not know."""

    def read(self, size=-1):
        raise RuntimeError("invalid chunk size b'ZZ'")

    readline = read


def send_chunked(stream: Any):
    """Call the application as a server that decodes chunks does: without a length, with an input that ends by itself.

    Returns the status and the decoded body of the response.
    """
    headers: dict[str, str] = {}
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/auth/token/verify",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "CONTENT_TYPE": "application/json",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": stream,
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": "http",
        "wsgi.errors": BytesIO(),
    }
    content = b"".join(application(environ, lambda status, _: headers.update(status=status)))
    return headers["status"][:3], json.loads(content)


@pytest.mark.django_db
class TestChunkedBody:
    def test_is_read_although_it_has_no_content_length(self):
        status, response = send_chunked(BytesIO(b'{"token": "x"}'))

        assert (status, response["code"]) == ("401", "token_not_valid")

    def test_above_the_limit_is_read_to_its_end_and_rejected_with_413(self):
        stream = BytesIO(b" " * 10_000_000)

        status, response = send_chunked(stream)

        assert (status, response["code"]) == ("413", "payload_too_large")
        assert stream.tell() == 10_000_000

    def test_with_an_invalid_chunk_is_malformed(self, caplog):
        status, response = send_chunked(BrokenChunks())

        assert (status, response["code"]) == ("400", "malformed")
        assert not [record for record in caplog.records if record.levelname == "ERROR"]
