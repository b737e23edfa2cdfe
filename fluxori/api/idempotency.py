"""The ``Idempotency-Key`` request header and the ``Idempotency-Replayed`` response header.

The length and format of keys are defined in ``fluxori.core.input_rules``. Over HTTP a key is ASCII as well, because
that is what a header can carry.
"""

from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from fluxori.api.errors import InvalidInputError
from fluxori.api.fields import Text, fail_with
from fluxori.api.headers import single_value
from fluxori.core.constants import MAX_IDEMPOTENCY_KEY
from fluxori.core.errors import FieldError
from fluxori.core.input_rules import idempotency_key_error

HEADER = "Idempotency-Key"
_ENVIRON_NAME = "HTTP_IDEMPOTENCY_KEY"

# The header in the OpenAPI description of an operation.
IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    description=f"The caller's name for this request, at most {MAX_IDEMPOTENCY_KEY} printable characters. A comma"
    " needs a space after it, because repeated headers are joined with a comma. The same request with the same key"
    " returns the first response and moves no credits.",
)


def key_from(request: Request) -> str | None:
    """Return the idempotency key of the request, or None if the header is missing.

    Some servers replace a value that is not ASCII by an empty one. Without this error such a request would run without
    its key, and a retry would spend credits again.

    :raises InvalidInputError: the key is empty, has more than 255 characters or characters that are not printable
        ASCII, or the header has several values
    """
    if _ENVIRON_NAME not in request.META:
        return None
    key = single_value(request.META, HEADER)
    error = _key_error(key) if key else ("required", "The key is empty, or contains characters that are not ASCII.")
    if error is not None:
        raise InvalidInputError([FieldError(HEADER, *error)])
    return key


class IdempotencyKey(Text):
    """An idempotency key in a body, as each item of a batch may have."""

    def to_internal_value(self, data: Any) -> str:
        key = super().to_internal_value(data)
        error = _key_error(key)
        if error is not None:
            fail_with(*error)
        return key


def _key_error(key: str) -> tuple[str, str] | None:
    error = idempotency_key_error(key)
    if error is None and not key.isascii():
        error = "wrong_type", "Only ASCII characters are allowed."
    return error


def idempotent_response(data: Any, status: int = 200, *, replayed: bool = False) -> Response:
    """Return the response to a request that may have an idempotency key; ``replayed`` marks a repeated result."""
    return Response(data, status=status, headers={"Idempotency-Replayed": "true"} if replayed else None)
