"""The Idempotency-Key header, and the header that says an answer was given before."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from fluxori.api.errors import InvalidInputError
from fluxori.api.fields import Text, refuse
from fluxori.core.errors import FieldError

HEADER = "Idempotency-Key"
MAX_KEY = 255


def key_of(request: Request) -> str | None:
    """Return the caller's name for this request; None where the header is missing or empty.

    :raises BadInput: longer than 255 characters, or not printable
    """
    key: str = request.META.get("HTTP_IDEMPOTENCY_KEY", "")
    fault = _fault(key)
    if fault is not None:
        raise InvalidInputError([FieldError(HEADER, *fault)])
    return key or None


class Key(Text):
    """The same name where it stands in a body: each item of a batch may have one."""

    def to_internal_value(self, data: Any) -> str:
        key = super().to_internal_value(data)
        fault = _fault(key)
        if fault is not None:
            refuse(*fault)
        return key


def _fault(key: str) -> tuple[str, str] | None:
    if len(key) > MAX_KEY:
        return "key_too_long", f"At most {MAX_KEY} characters."
    if not (key.isascii() and key.isprintable()):
        return "wrong_type", "Only printable ASCII characters."
    return None


def answer(data: Any, status: int = 200, *, replayed: bool = False) -> Response:
    """Return ``data`` as the answer to a request that may carry a key."""
    return Response(data, status=status, headers={"Idempotency-Replayed": "true"} if replayed else None)
