"""Middleware of every request: its id, its log line and the content security policy of its response."""

import re
from collections.abc import Callable
from uuid import uuid4

from django.http import HttpRequest, HttpResponse
from django_structlog.middlewares import RequestMiddleware

from fluxori.api.errors import InvalidInputError
from fluxori.api.headers import single_value
from fluxori.core import request_context

HEADER = "X-Request-Id"

# Printable ASCII only, so that a caller cannot write into our logs or headers.
_VALID_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class RequestLogMiddleware(RequestMiddleware):
    """Logs one line for each request, without the query string, which may contain personal data or a secret."""

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        return f"{request.method} {request.path}"


class RequestIdMiddleware:
    """Gives each request an id, the caller's X-Request-Id if it is valid, and returns the id in the response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            given_id, error = single_value(request.META, HEADER), None
        except InvalidInputError as raised:
            given_id, error = "", raised
        setattr(request, "request_id_error", error)  # noqa: B010 - raised by StrictView
        request_id = given_id if _VALID_REQUEST_ID.fullmatch(given_id) else str(uuid4())
        request.META["HTTP_X_REQUEST_ID"] = request_id  # read by django-structlog
        setattr(request, "request_id", request_id)  # noqa: B010 - Django's class does not declare it
        request_context.request_id.set(request_id)  # read by the ledger
        response = self._get_response(request)
        response[HEADER] = request_id
        return response


_NO_FRAMES = "base-uri 'none'; frame-ancestors 'none'"
_DEFAULT_POLICY = f"default-src 'none'; form-action 'none'; {_NO_FRAMES}"
# Swagger UI sets inline styles.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self';"
    f" connect-src 'self'; form-action 'none'; {_NO_FRAMES}"
)
# Unfold evaluates expressions in attributes (Alpine.js), and sets inline styles.
_ADMIN_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    f" font-src 'self'; connect-src 'self'; form-action 'self'; {_NO_FRAMES}"
)


class ContentSecurityMiddleware:
    """Sets the Content-Security-Policy of every response. Only the admin and the API docs may load anything."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response["Content-Security-Policy"] = policy_for(request.path_info)
        response["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
        return response


def policy_for(path: str) -> str:
    """Return the content security policy of responses under ``path``."""
    if path.startswith("/admin/"):
        return _ADMIN_POLICY
    return _DOCS_POLICY if path == "/api/docs" else _DEFAULT_POLICY
