"""Middleware of every request: its id, its log line and the content security policy of its response."""

import logging
import re
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any
from uuid import uuid4

import structlog
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse

from fluxori.api.errors import InvalidInputError
from fluxori.api.headers import single_value
from fluxori.core import metrics, request_context
from fluxori.identity.models import User

HEADER = "X-Request-Id"

# Printable ASCII only, so that a caller cannot write into our logs or headers.
_VALID_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


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
        setattr(request, "request_id", request_id)  # noqa: B010 - Django's class does not declare it
        request_context.request_id.set(request_id)  # read by the ledger
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        response = self._get_response(request)
        response[HEADER] = request_id
        return response


logger = structlog.get_logger("fluxori.request")

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class RequestLogMiddleware:
    """Logs one line for each request, when it ends, and measures its duration.

    The line has no query string, which may contain personal data or a secret. An unexpected exception is part of the
    line, with its traceback.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        facts = request_context.begin_log_facts()
        started = perf_counter()
        response = self._get_response(request)
        seconds = perf_counter() - started
        status = response.status_code
        method = request.method if request.method in _METHODS else "other"
        metrics.http_request_seconds.labels(method, route_of(request), status).observe(seconds)
        logger.log(
            logging.ERROR if status >= 500 else logging.INFO,
            "request",
            method=request.method,
            path=request.path,
            status=status,
            duration_ms=round(seconds * 1000, 1),
            **(_session_user_of(request) | facts),
        )
        return response


def route_of(request: HttpRequest) -> str:
    """Return the route of the request, with placeholders instead of ids. The pages of the admin are one route."""
    match = request.resolver_match
    # The routes that begin with ^ are those of unknown paths.
    if match is None or not match.route or match.route.startswith("^"):
        return "other"
    return "/admin" if match.route.startswith("admin") else f"/{match.route}"


def _session_user_of(request: HttpRequest) -> dict[str, Any]:
    """Return the caller of a page, for the log line. The authentication of the API adds the caller of a token."""
    # Django keeps the user of a session here once it is used. Reading request.user could run a query.
    user = getattr(request, "_cached_user", None)
    if not isinstance(user, User):
        return {"caller": "anonymous"}
    return {"caller": "staff", "caller_id": str(user.pk)}


def _log_exception(**_: object) -> None:
    """Add an unexpected exception to the log line of its request."""
    if not isinstance(sys.exc_info()[1], Http404 | PermissionDenied):
        request_context.add_log_facts(exc_info=sys.exc_info())


got_request_exception.connect(_log_exception, dispatch_uid="request log")

_NO_FRAMES = "base-uri 'none'; frame-ancestors 'none'"
_DEFAULT_POLICY = f"default-src 'none'; form-action 'none'; {_NO_FRAMES}"
# Swagger UI sets inline styles.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self';"
    f" connect-src 'self'; form-action 'none'; {_NO_FRAMES}"
)
# The pages to which the links in mails lead. Their form is sent by a script.
_ACCOUNT_PAGES = ("/account/password", "/account/email")
# Unfold evaluates expressions in attributes (Alpine.js), and sets inline styles.
_ADMIN_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    f" font-src 'self'; connect-src 'self'; form-action 'self'; {_NO_FRAMES}"
)


class ContentSecurityMiddleware:
    """Sets the Content-Security-Policy of every response. Few pages may load anything."""

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
    return _DOCS_POLICY if path in {"/api/docs", *_ACCOUNT_PAGES} else _DEFAULT_POLICY
