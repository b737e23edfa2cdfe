"""What every request gets before anything else looks at it."""

import re
from collections.abc import Callable
from uuid import uuid4

from django.http import HttpRequest, HttpResponse
from django_structlog.middlewares import RequestMiddleware

from fluxori.kernel import context

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
        context.request_id.set(request_id)  # where the ledger finds it
        response = self._get_response(request)
        response[HEADER] = request_id
        return response
