"""Error responses: every error as a problem document (RFC 9457).

``STATUS_BY_KIND`` maps the kinds of domain errors to HTTP status codes. Codes are stable and listed in
docs/reference/errors.md. An unexpected exception reveals nothing: it is logged under the id of the request, and the
response contains only that id.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import wraps
from http import HTTPStatus
from math import ceil
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation, TooManyFieldsSent
from django.core.signals import got_request_exception
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import set_rollback

from fluxori.api.errors import MalformedRequestError
from fluxori.api.field_errors import field_errors, named_as_written
from fluxori.api.names import camel
from fluxori.api.rendering import JSONRenderer, to_json
from fluxori.core import errors, metrics, request_context
from fluxori.db import sqlstates
from fluxori.identity.errors import LoginLockedError, OneTimeTokenError, UnauthenticatedError

CONTENT_TYPE = "application/problem+json"

STATUS_BY_KIND: Mapping[type[errors.DomainError], int] = {
    errors.InvalidRequestError: 400,
    MalformedRequestError: 400,
    OneTimeTokenError: 400,
    UnauthenticatedError: 401,
    errors.PaymentRequiredError: 402,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.KeyReusedError: 422,
    errors.AbortedError: 424,
    LoginLockedError: 429,
    errors.UnavailableError: 503,
}

# The codes of the framework's errors. A subclass that is not listed keeps its own ``default_code``.
CODE_BY_FRAMEWORK_ERROR: Mapping[type[APIException], str] = {
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

RETRY_AFTER_SECONDS = {"busy": 1, "database_unavailable": 5}

_renderer = JSONRenderer()


@dataclass(frozen=True, slots=True)
class Problem:
    """One error response."""

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

    def all_headers(self) -> dict[str, str]:
        """Return ``headers`` and those that follow from the status and the code."""
        headers = dict(self.headers)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.code in RETRY_AFTER_SECONDS:
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS[self.code])
        if "retryAfter" in self.facts:
            headers["Retry-After"] = str(self.facts["retryAfter"])
        return headers


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response:
    """Return the response for an exception that a view raised. An open transaction is marked for rollback first.

    The response is JSON, whatever the view renders and whatever the caller accepts.
    """
    set_rollback()
    request = context["request"]
    problem = to_problem(exc, request)
    _report(problem)
    body = problem.body(request)
    request.accepted_renderer, request.accepted_media_type = _renderer, CONTENT_TYPE
    return Response(body, status=problem.status, headers=problem.all_headers(), content_type=CONTENT_TYPE)


def _report(problem: Problem) -> None:
    metrics.http_problems.labels(problem.code).inc()
    request_context.add_log_facts(code=problem.code)


def to_problem(exc: Exception, request: Request, written_names: Collection[str] | None = None) -> Problem:
    """Return the problem for any exception. The log line of the request names the cause of a 5xx status.

    ``written_names`` are the names in the part of the request that failed; by default those of the body or the query.
    """
    if isinstance(exc, errors.InvalidRequestError):
        exc = named_as_written(exc, _names_in(request) if written_names is None else written_names)
    problem = expected_problem(exc)
    if problem is None:
        # The request log listens to this signal, and expects Django's request.
        got_request_exception.send(sender=None, request=request._request)  # noqa: SLF001
        problem = internal_error()
    elif problem.status >= 500:
        request_context.add_log_facts(cause=repr(exc.__cause__ or exc))
    return problem


def _names_in(request: Request) -> Collection[str]:
    """Return the names in the body or the query, whichever this method has. The body was parsed before."""
    if request.method in {"POST", "PUT", "PATCH"}:
        return request.data if isinstance(request.data, Mapping) else ()
    return request.query_params


def expected_problem(exc: Exception) -> Problem | None:
    """Return the problem for an exception that has a code of its own, or None for an unexpected one."""
    match _as_api_error(exc):
        case errors.DomainError() as error:
            return _from_domain_error(error)
        case APIException() as error:
            return _from_framework_error(error)
        case DatabaseError() | InterfaceError() as error:
            return _from_database_error(error)
        case _:
            return None


def _as_api_error(exc: Exception) -> Exception:
    """Return the error of the API or of Django REST framework that an exception of Django stands for."""
    match exc:
        case exceptions.ValidationError():
            return errors.InvalidRequestError(field_errors(exc.get_full_details()))
        case Http404() | PermissionDenied():
            return exceptions.NotFound() if isinstance(exc, Http404) else exceptions.PermissionDenied()
        case UnreadablePostError():
            return exceptions.ParseError("The body ended too early, or its chunks are invalid.")
        case TooManyFieldsSent():
            return exceptions.ParseError(f"More than {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS} parameters.")
        case SuspiciousOperation() | BadRequest():
            return exceptions.ParseError("The request cannot be read.")
    return exc


def status_of(error: errors.DomainError) -> int:
    """Return the HTTP status of an error's kind."""
    return next(status for kind, status in STATUS_BY_KIND.items() if isinstance(error, kind))


def generic_problem(status: int, code: str, detail: str, **options: Any) -> Problem:
    """Return a problem with the standard phrase of its status as title."""
    return Problem(status, code, HTTPStatus(status).phrase, detail, **options)


def internal_error() -> Problem:
    return generic_problem(500, "internal_error", "An unexpected error occurred. The request id identifies it.")


def _from_domain_error(error: errors.DomainError) -> Problem:
    facts: dict[str, Any] = {camel(name): value for name, value in error.facts.items() if name != "errors"}
    if isinstance(error, errors.InvalidRequestError):
        facts["errors"] = [asdict(each) for each in error.errors]
    return Problem(status_of(error), error.code, error.title, error.detail, facts)


def _from_framework_error(exc: APIException) -> Problem:
    codes = (code for kind, code in CODE_BY_FRAMEWORK_ERROR.items() if isinstance(exc, kind))
    code = next(codes, exc.default_code)
    headers: dict[str, str] = {}
    wait: float | None = getattr(exc, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(max(1, ceil(wait)))
    return generic_problem(exc.status_code, code, str(exc.detail), facts=getattr(exc, "facts", {}), headers=headers)


def _from_database_error(exc: DatabaseError | InterfaceError) -> Problem | None:
    sqlstate = sqlstates.sqlstate_of(exc)
    if sqlstate in sqlstates.BUSY:
        return generic_problem(503, "busy", "The server is too busy. Nothing was written; try again.")
    if sqlstate is None:
        is_unavailable = isinstance(exc, OperationalError | InterfaceError)
    else:
        is_unavailable = (
            sqlstate.startswith(sqlstates.UNAVAILABLE_PREFIXES) or sqlstate == sqlstates.READ_ONLY_TRANSACTION
        )
    if not is_unavailable:
        return None
    return generic_problem(
        503,
        "database_unavailable",
        "The database is unavailable. If the connection broke during a commit, the outcome is unknown: repeat the"
        " request with the same Idempotency-Key.",
    )


def to_response(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Return the problem as a response outside the framework's views."""
    _report(problem)
    return HttpResponse(to_json(problem.body(request)), CONTENT_TYPE, problem.status, headers=problem.all_headers())


def is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith(("/api", "/health"))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    request_context.add_log_facts(cause=str(exception))
    if not is_api(request):
        return defaults.bad_request(request, exception)
    return to_response(request, expected_problem(exception) or internal_error())


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_api(request):
        return defaults.permission_denied(request, exception)
    return to_response(request, generic_problem(403, "permission_denied", "You may not do this."))


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if not is_api(request):
        return defaults.page_not_found(request, exception or Http404())
    return to_response(request, generic_problem(404, "not_found", "This path does not exist."))


def server_error(request: HttpRequest) -> HttpResponse:
    if not is_api(request):
        return defaults.server_error(request)
    return to_response(request, internal_error())


def public_page(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Return ``view`` for GET and HEAD only, without CSRF protection. Another method gets a problem document."""

    @wraps(view)
    def safe_view(request: HttpRequest) -> HttpResponse:
        if request.method in {"GET", "HEAD"}:
            return view(request)
        detail = f'Method "{request.method}" not allowed.'
        return to_response(request, generic_problem(405, "method_not_allowed", detail, headers={"Allow": "GET, HEAD"}))

    return csrf_exempt(safe_view)
