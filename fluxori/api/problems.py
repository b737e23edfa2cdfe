"""Every refusal and every fault, as the problem document that goes over the wire (RFC 9457).

Codes are stable and listed in docs/reference/errors.md. A fault that nobody foresaw reveals nothing: it is logged under the
request's id, and that id is what the caller gets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from math import ceil
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import set_rollback

from fluxori.api.errors import MalformedRequestError
from fluxori.api.field_errors import field_errors, wire_errors
from fluxori.api.names import camel
from fluxori.api.rendering import to_json
from fluxori.core import errors
from fluxori.identity.errors import Unauthenticated

CONTENT_TYPE = "application/problem+json"

# The one table that turns kinds of refusal into HTTP.
STATUS_OF_KIND: Mapping[type[errors.DomainError], int] = {
    errors.InvalidRequestError: 400,
    MalformedRequestError: 400,
    Unauthenticated: 401,
    errors.PaymentRequiredError: 402,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.KeyReusedError: 422,
    errors.AbortedError: 424,
    errors.UnavailableError: 503,
}

# What the framework refuses, in our codes; a subclass of these may bring a code of its own.
CODE_OF_FRAMEWORK_ERROR: Mapping[type[APIException], str] = {
    exceptions.ParseError: "malformed",
    exceptions.AuthenticationFailed: "token_not_valid",
    exceptions.NotAuthenticated: "not_authenticated",
    exceptions.PermissionDenied: "permission_denied",
    exceptions.NotFound: "not_found",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.Throttled: "throttled",
}

SECONDS_TO_WAIT = {"busy": 1, "database_unavailable": 5}

# lock_timeout, statement_timeout, and a conflict that outlived its retries: PostgreSQL answers, but not in time.
BUSY = {"55P03", "57014", "40001", "40P01"}
# Resources exhausted, shut down, starting up, cannot connect, or a stand-by after a failover.
GONE = ("08", "53", "57P", "25006")

logger = structlog.get_logger("fluxori.api")


@dataclass(frozen=True, slots=True)
class Problem:
    """One answer that is not the answer asked for."""

    status: int
    code: str
    title: str
    detail: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, request: HttpRequest | Request) -> dict[str, Any]:
        return {
            "type": f"/docs/errors#{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "requestId": getattr(request, "request_id", None),
            **self.facts,
        }

    def headers_to_send(self) -> dict[str, str]:
        sent = dict(self.headers)
        if self.status == 401:
            sent["WWW-Authenticate"] = "Bearer"
        if self.code in SECONDS_TO_WAIT:
            sent["Retry-After"] = str(SECONDS_TO_WAIT[self.code])
        return sent


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response:
    """Answer for whatever a view raised. Any open transaction is marked for rollback first."""
    set_rollback()
    told = to_problem(exc, context["request"])
    body = told.body(context["request"])
    return Response(body, status=told.status, headers=told.headers_to_send(), content_type=CONTENT_TYPE)


def to_problem(exc: Exception, request: Request) -> Problem:
    """Return how ``exc`` is told to the caller; a fault of ours is logged."""
    known = problem_of(exc)
    if known is None:
        # Whoever listens logs it, with its traceback, and knows Django's request.
        got_request_exception.send(sender=None, request=request._request)  # noqa: SLF001
        known = internal_error()
    elif known.status >= 500:
        logger.error("unavailable", code=known.code, cause=repr(exc.__cause__ or exc))
    return known


def problem_of(exc: Exception) -> Problem | None:
    """Return how ``exc`` is told to the caller; None for a fault that nobody foresaw."""
    match exc:
        case errors.DomainError():
            return _of_refusal(exc)
        case exceptions.ValidationError():
            refusal = errors.InvalidRequestError(field_errors(exc.get_full_details()))
            return _of_refusal(refusal)
        case APIException():
            return _of_framework(exc)
        case Http404() | PermissionDenied():
            return _of_framework(exceptions.NotFound() if isinstance(exc, Http404) else exceptions.PermissionDenied())
        case DatabaseError() | InterfaceError():
            return _of_database(exc)
        case _:
            return None


def status_of(refusal: errors.DomainError) -> int:
    """Return the HTTP status of a refusal's kind."""
    return next(status for kind, status in STATUS_OF_KIND.items() if isinstance(refusal, kind))


def of_status(status: int, code: str, detail: str, **more: Any) -> Problem:
    return Problem(status, code, HTTPStatus(status).phrase, detail, **more)


def internal_error() -> Problem:
    return of_status(500, "internal_error", "Something went wrong here. The request id lets us find out what.")


def _of_refusal(refusal: errors.DomainError) -> Problem:
    facts: dict[str, Any] = {camel(name): value for name, value in refusal.facts.items() if name != "errors"}
    if isinstance(refusal, errors.InvalidRequestError):
        facts["errors"] = wire_errors(refusal)
    return Problem(status_of(refusal), refusal.code, refusal.title, refusal.detail, facts)


def _of_framework(exc: APIException) -> Problem:
    ours = (code for kind, code in CODE_OF_FRAMEWORK_ERROR.items() if isinstance(exc, kind))
    code = next(ours, exc.default_code)
    headers: dict[str, str] = {}
    wait: float | None = getattr(exc, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(max(1, ceil(wait)))
    return of_status(exc.status_code, code, str(exc.detail), facts=getattr(exc, "facts", {}), headers=headers)


def _of_database(exc: DatabaseError | InterfaceError) -> Problem | None:
    state = getattr(exc.__cause__, "sqlstate", None)
    if state in BUSY:
        return of_status(503, "busy", "Too much is going on here at once. Nothing was written; try again.")
    if (isinstance(exc, OperationalError | InterfaceError) and state is None) or (state or "").startswith(GONE):
        return of_status(
            503,
            "database_unavailable",
            "The database cannot be reached. Had the connection broken in the middle of a commit, its outcome would be"
            " unknown: repeat the request with the same Idempotency-Key.",
        )
    return None


def to_response(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Return the problem as an answer outside the framework's views."""
    return HttpResponse(to_json(problem.body(request)), CONTENT_TYPE, problem.status, headers=problem.headers_to_send())


def is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith(("/api", "/health"))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_api(request):
        return defaults.bad_request(request, exception)
    return to_response(request, of_status(400, "malformed", "The request cannot be read."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_api(request):
        return defaults.permission_denied(request, exception)
    return to_response(request, of_status(403, "permission_denied", "You may not do this."))


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if not is_api(request):
        return defaults.page_not_found(request, exception or Http404())
    return to_response(request, of_status(404, "not_found", "There is nothing here."))


def server_error(request: HttpRequest) -> HttpResponse:
    if not is_api(request):
        return defaults.server_error(request)
    return to_response(request, internal_error())
