"""The application a WSGI server runs."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fluxori.settings")

# More than any door accepts or throws away, so that a door still sees, and answers, a body that is too large.
_LONGEST_BODY = 64 * 1024 * 1024

_django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a request. A body sent in chunks tells no length, and Django would take it for empty: it gets one."""
    if "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated"):
        environ["CONTENT_LENGTH"] = str(_LONGEST_BODY)
    return _django(environ, start_response)
