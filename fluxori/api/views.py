"""Base classes of all views of the API: ``ViewSet``, and ``GenericViewSet`` for lists.

They reject what a request contains and no view reads, so that nothing the caller wrote is ignored: parameters in the
query of a POST, PUT or PATCH, and a body of a DELETE. The query of a GET or DELETE is parsed by the view, with
``EmptyQuery`` if it has no parameters.
"""

from typing import Any, TypeVar

from django.db.models import Model
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.views import APIView

from fluxori.api.errors import InvalidInputError
from fluxori.api.headers import single_value
from fluxori.api.idempotency import HEADER
from fluxori.core.errors import FieldError

M = TypeVar("M", bound=Model)


class StrictView(APIView):
    """A view that rejects requests with unread parts or with a header that has several values."""

    # OPTIONS is answered by the CORS middleware only. Methods that are missing here are not listed in ``Allow``.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        single_value(request.META, HEADER)
        request_id_error: InvalidInputError | None = getattr(request, "request_id_error", None)
        if request_id_error is not None:
            raise request_id_error
        if request.method in {"POST", "PUT", "PATCH"}:
            _reject(request.query_params, "Write it in the body: this request has no query parameters.")
        elif request.method == "DELETE":
            _reject(request.data, "Write it in the query: this request has no body.")


class ViewSet(viewsets.ViewSetMixin, StrictView):
    """A view set without a list."""


class GenericViewSet(viewsets.GenericViewSet[M], StrictView):
    """A view set with lists: filters and pagination."""


def _reject(names: Any, detail: str) -> None:
    if names:
        raise InvalidInputError(FieldError(name, "unknown_field", detail) for name in names)
