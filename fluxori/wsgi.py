"""The WSGI application."""

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

from fluxori.env import EnvironmentSettingsError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fluxori.settings")

# More than any entry point accepts or discards, so that a body that is too large still gets a 413 response.
_MAX_CHUNKED_BODY = 64 * 1024 * 1024

try:
    _django_application = get_wsgi_application()
except EnvironmentSettingsError as error:
    # Without a traceback. gunicorn has the same status for a worker that cannot load.
    sys.stderr.write(f"{error}\n")
    sys.exit(4)


class ChunkedBody:
    """The input of a chunked request. Every error of the server's reader is an OSError, which Django expects."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        return self._call(self._stream.read, size)

    def readline(self, size: int = -1) -> bytes:
        return self._call(self._stream.readline, size)

    @staticmethod
    def _call(function: Callable[[int], bytes], size: int) -> bytes:
        try:
            return function(size)
        except Exception as error:
            raise OSError(f"invalid chunked body: {error!r}") from error


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Run Django. A chunked body has no Content-Length, and Django would treat it as empty, so this sets a length."""
    if "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated"):
        environ["CONTENT_LENGTH"] = str(_MAX_CHUNKED_BODY)
        environ["wsgi.input"] = ChunkedBody(environ["wsgi.input"])
    return _django_application(environ, start_response)
