"""What is wrong with single fields, in the codes of the wire contract."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fluxori.api.errors import InvalidInputError
from fluxori.api.names import camel
from fluxori.core.errors import FieldError, InvalidRequestError

CODES = {
    "required",
    "unknown_field",
    "wrong_type",
    "out_of_range",
    "too_long",
    "invalid_choice",
    "invalid_cursor",
    "exactly_one_owner",
    "in_future",
    "in_past",
    "key_too_long",
}

# The framework's own names for the same things.
FRAMEWORK_CODES = {
    "blank": "required",
    "empty": "required",
    "max_length": "too_long",
    "min_length": "out_of_range",
    "max_value": "out_of_range",
    "min_value": "out_of_range",
}


def wire_code(code: str) -> str:
    """Return a code of the contract for ``code``; whatever is not told apart there is of the wrong type."""
    return code if code in CODES else FRAMEWORK_CODES.get(code, "wrong_type")


def field_errors(details: Any, path: str = "") -> list[FieldError]:
    """Flatten the framework's nested error details; a path reads like ``items.3.amount``."""
    return list(_flat(details, path))


def wire_errors(refusal: InvalidRequestError) -> list[dict[str, str]]:
    """Return ``errors`` as they are told: an operation's argument under the name that the caller knows it by."""
    as_written = isinstance(refusal, InvalidInputError)
    return [
        {"field": error.field if as_written else camel(error.field), "code": error.code, "detail": error.detail}
        for error in refusal.errors
    ]


def _flat(details: Any, path: str) -> Iterator[FieldError]:
    match details:
        case {"message": message, "code": str(code)}:
            yield FieldError(path, wire_code(code), str(message))
        case Mapping():
            for name, inner in details.items():
                yield from _flat(inner, path if name == "non_field_errors" else f"{path}.{name}".lstrip("."))
        case Iterable() if any(_is_leaf(inner) for inner in details):
            for inner in details:
                yield from _flat(inner, path)
        case Iterable():
            for index, inner in enumerate(details):
                yield from _flat(inner, f"{path}.{index}".lstrip("."))


def _is_leaf(details: Any) -> bool:
    return isinstance(details, Mapping) and set(details) == {"message", "code"}
