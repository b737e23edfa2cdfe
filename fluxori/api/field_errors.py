"""Field errors of an ``invalid`` response, with the field codes of the HTTP contract."""

from collections.abc import Collection, Iterable, Iterator, Mapping
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

# Django REST framework's codes for the same errors.
CODE_BY_FRAMEWORK_CODE = {
    "blank": "required",
    "empty": "required",
    "max_length": "too_long",
    "min_length": "out_of_range",
    "max_value": "out_of_range",
    "min_value": "out_of_range",
}


def to_field_code(code: str) -> str:
    """Return the field code of the contract for ``code``. Codes without a counterpart become ``wrong_type``."""
    return code if code in CODES else CODE_BY_FRAMEWORK_CODE.get(code, "wrong_type")


def field_errors(details: Any, path: str = "") -> list[FieldError]:
    """Flatten the framework's nested error details. A path looks like ``items.3.amount``."""
    return list(_flatten(details, path))


def named_as_written(error: InvalidRequestError, written_names: Collection[str]) -> InvalidInputError:
    """Return the error with the names that the caller wrote, or in camelCase for what the caller did not write.

    The errors of an operation have the names of its arguments. ``written_names`` are the names in the request.
    """
    if isinstance(error, InvalidInputError):
        return error

    def as_written(argument: str) -> str:
        name = argument.rstrip("_")
        return name if name in written_names else camel(name)

    return InvalidInputError(FieldError(as_written(each.field), each.code, each.detail) for each in error.errors)


def _flatten(details: Any, path: str) -> Iterator[FieldError]:
    match details:
        case {"message": message, "code": str(code)}:
            yield FieldError(path, to_field_code(code), str(message))
        case Mapping():
            for name, inner in details.items():
                yield from _flatten(inner, path if name == "non_field_errors" else f"{path}.{name}".lstrip("."))
        case Iterable() if any(_is_leaf(inner) for inner in details):
            for inner in details:
                yield from _flatten(inner, path)
        case Iterable():
            for index, inner in enumerate(details):
                yield from _flatten(inner, f"{path}.{index}".lstrip("."))


def _is_leaf(details: Any) -> bool:
    return isinstance(details, Mapping) and set(details) == {"message", "code"}
