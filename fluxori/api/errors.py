"""Errors in the HTTP request itself, raised before any operation is called."""

from collections.abc import Iterable
from typing import Any

from rest_framework.exceptions import APIException

from fluxori.core.errors import DomainError, FieldError, InvalidRequestError

MAX_ERRORS = 50
MAX_FIELD_NAME = 100


class InvalidInputError(InvalidRequestError):
    """Fields of the body or parameters of the query are invalid. The fields are named as the caller wrote them."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        super().__init__([FieldError(e.field[:MAX_FIELD_NAME], e.code, e.detail) for e in errors][:MAX_ERRORS])


class MalformedRequestError(DomainError):
    """The body is not one unambiguous JSON document."""

    code = "malformed"
    title = "The body is not valid JSON"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self._reason = reason

    @property
    def detail(self) -> str:
        return self._reason


class PayloadTooLargeError(APIException):
    status_code = 413
    default_code = "payload_too_large"

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"The body is larger than {limit} bytes.")
        self.facts: dict[str, Any] = {"limit": limit}


class UnsupportedEncodingError(APIException):
    """The body has a content encoding. It is rejected by its label, even if the label is wrong."""

    status_code = 415
    default_code = "unsupported_media_type"

    def __init__(self, encoding: str) -> None:
        super().__init__(f"The content encoding {encoding[:MAX_FIELD_NAME]!r} is not supported. Send plain JSON.")
