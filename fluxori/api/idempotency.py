"""The Idempotency-Key header, and the header that says an answer was given before."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from fluxori.api.errors import BadInput
from fluxori.kernel.errors import FieldError

HEADER = "Idempotency-Key"
MAX_KEY = 255


def key_of(request: Request) -> str | None:
    """Return the caller's name for this request; None where the header is missing or empty.

    :raises BadInput: longer than 255 characters, or not printable
    """
    key: str = request.META.get("HTTP_IDEMPOTENCY_KEY", "")
    if len(key) > MAX_KEY:
        raise BadInput([FieldError(HEADER, "key_too_long", f"At most {MAX_KEY} characters.")])
    if not (key.isascii() and key.isprintable()):
        raise BadInput([FieldError(HEADER, "wrong_type", "Only printable ASCII characters.")])
    return key or None


def answer(data: Any, status: int = 200, *, replayed: bool = False) -> Response:
    """Return ``data`` as the answer to a request that may carry a key."""
    return Response(data, status=status, headers={"Idempotency-Replayed": "true"} if replayed else None)
