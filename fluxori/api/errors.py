"""What can be wrong with a request before any rule is asked."""

from collections.abc import Iterable
from typing import Any

from rest_framework.exceptions import APIException

from fluxori.core.errors import DomainError, FieldError, InvalidRequestError

MOST_ERRORS = 50
LONGEST_NAME = 100


class InvalidInputError(InvalidRequestError):
    """What the caller wrote cannot be understood. Fields are named as the caller wrote them, on the wire."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        super().__init__([FieldError(e.field[:LONGEST_NAME], e.code, e.detail) for e in errors][:MOST_ERRORS])


class MalformedRequestError(DomainError):
    """The body is not one JSON document that everybody reads alike."""

    code = "malformed"
    title = "The body is not valid JSON"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self._reason = reason

    @property
    def detail(self) -> str:
        return self._reason


class PayloadTooLarge(APIException):
    status_code = 413
    default_code = "payload_too_large"

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"The body is larger than {limit} bytes.")
        self.facts: dict[str, Any] = {"limit": limit}
