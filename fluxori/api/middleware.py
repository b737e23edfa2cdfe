"""What every request gets before anything else looks at it."""

import re
from collections.abc import Callable
from uuid import uuid4

from django.http import HttpRequest, HttpResponse
from django_structlog.middlewares import RequestMiddleware

from fluxori.core import request_context

HEADER = "X-Request-Id"

# Printable ASCII only, so that a caller cannot write into our logs or headers.
_SANE = re.compile(r"[\x21-\x7e]{1,128}")


class RequestLogMiddleware(RequestMiddleware):
    """Logs one line a request, by its path alone: a query may hold an address or a ticket."""

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        return f"{request.method} {request.path}"


class RequestIdMiddleware:
    """Names each request: by the caller's X-Request-Id if it is sane, else by a new one; and says it in the answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = asked if _SANE.fullmatch(asked) else str(uuid4())
        request.META["HTTP_X_REQUEST_ID"] = request_id  # where the logs find it
        setattr(request, "request_id", request_id)  # noqa: B010 - Django's class does not declare it
        request_context.request_id.set(request_id)  # where the ledger finds it
        response = self._get_response(request)
        response[HEADER] = request_id
        return response


_CLOSED = "base-uri 'none'; frame-ancestors 'none'"
_NOTHING = f"default-src 'none'; form-action 'none'; {_CLOSED}"
# Swagger's pages set styles where they stand.
_DOCS = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self';"
    f" connect-src 'self'; form-action 'none'; {_CLOSED}"
)
# Unfold's pages compute what stands in their attributes, and set styles where they stand.
_ADMIN = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    f" font-src 'self'; connect-src 'self'; form-action 'self'; {_CLOSED}"
)


class ContentSecurityMiddleware:
    """Says in every answer what a browser may load for it: nothing at all, but for the pages that people look at."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response["Content-Security-Policy"] = policy_for(request.path_info)
        response["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
        return response


def policy_for(path: str) -> str:
    """Return the content security policy of what is answered under ``path``."""
    if path.startswith("/admin/"):
        return _ADMIN
    return _DOCS if path == "/api/docs" else _NOTHING
