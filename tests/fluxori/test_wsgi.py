import json
from io import BytesIO
from typing import Any

import pytest

from fluxori.wsgi import application


def send_chunked(body: bytes):
    """Call the application as a server does that decodes chunks: no length, and an input that ends by itself."""
    answered: dict[str, str] = {}
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
    answer = b"".join(application(environ, lambda status, headers: answered.update(status=status)))
    return answered["status"][:3], json.loads(answer), environ["wsgi.input"].tell()


@pytest.mark.django_db
class TestBodyInChunks:
    def test_is_read(self):
        status, answer, _ = send_chunked(b'{"token": "x"}')

        assert (status, answer["code"]) == ("401", "token_not_valid")

    def test_is_refused_beyond_the_limit_and_thrown_away_so_that_the_caller_reads_the_answer(self):
        status, answer, read = send_chunked(b" " * 10_000_000)

        assert (status, answer["code"]) == ("413", "payload_too_large")
        assert read == 10_000_000
