"""Strict serializer fields: each accepts exactly one kind of JSON value.

``from_text`` converts the text of a query parameter to that JSON value. Text that cannot be converted is returned
unchanged, and validation then reports the wrong type.
"""

import re
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

from django.core.validators import validate_email
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from fluxori.core.input_rules import metadata_error, name_error
from fluxori.core.timestamps import from_rfc3339
from fluxori.identity.emails import INVALID, MAX_EMAIL, normalize_email

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DECIMAL = re.compile(r"([0-9]+)(?:\.([0-9]+))?")
_INTEGER = re.compile(r"-?[0-9]{1,30}")

_UNESCAPED_PLUS = "A time contains no space. In a query, write the + of an offset as %2B: an unescaped + is a space."
_NOT_A_TIMESTAMP = "This must be a time with an offset, like 2026-03-01T12:00:00Z."


def fail_with(code: str, detail: str) -> NoReturn:
    """Raise the framework's ValidationError with a field code of the contract."""
    raise ValidationError(detail, code=code)


class WholeNumber(serializers.IntegerField):
    """A JSON integer between ``min_value`` and ``max_value``: not "9", 9.5, 9.0 or true."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            fail_with("wrong_type", "This must be a whole number.")
        return data

    def from_text(self, text: str) -> Any:
        return int(text) if _INTEGER.fullmatch(text) else text


class Text(serializers.CharField):
    """A JSON string, stored as given. Not blank unless ``allow_blank``; no NUL, no lone surrogate."""

    def to_internal_value(self, data: Any) -> str:
        if type(data) is not str:
            fail_with("wrong_type", "This must be a string.")
        return data

    def from_text(self, text: str) -> Any:
        return text


class Name(Text):
    """A text that people choose from, in which every character can be seen."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        error = name_error(text)
        if error is not None:
            fail_with(*error)
        return text


class Email(Text):
    """An e-mail address of at most 254 characters, in its one spelling."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_EMAIL, **kwargs)
        self.validators.append(validate_email)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if len(text) > MAX_EMAIL:
            fail_with("too_long", f"At most {MAX_EMAIL} characters.")
        try:
            return normalize_email(text)
        except ValueError:
            fail_with("wrong_type", INVALID)


class Id(serializers.UUIDField):
    """A UUID as 32 hexadecimal digits with hyphens."""

    def to_internal_value(self, data: Any) -> UUID:
        if type(data) is not str or not _UUID.fullmatch(data):
            fail_with("wrong_type", "This must be a UUID.")
        return UUID(data)

    def from_text(self, text: str) -> Any:
        return text


class Timestamp(serializers.DateTimeField):
    """An RFC 3339 time with an offset. Digits beyond the microsecond are cut off."""

    def to_internal_value(self, value: Any) -> datetime:
        try:
            return from_rfc3339(value) if type(value) is str else fail_with("wrong_type", _NOT_A_TIMESTAMP)
        except ValueError:
            fail_with("wrong_type", _UNESCAPED_PLUS if " " in value else _NOT_A_TIMESTAMP)
        except OverflowError:
            fail_with("out_of_range", "This must be in the years 1 to 9999, in UTC.")

    def from_text(self, text: str) -> Any:
        return text


class Rand(serializers.DecimalField):
    """An amount of money in rand: a string with at most 6 decimal places, never negative."""

    def __init__(self, *, max_digits: int = 18, decimal_places: int = 6, **kwargs: Any) -> None:
        super().__init__(max_digits=max_digits, decimal_places=decimal_places, **kwargs)
        self._max_integer_digits, self._max_places = max_digits - decimal_places, decimal_places

    def to_internal_value(self, data: Any) -> Decimal:
        match = _DECIMAL.fullmatch(data) if type(data) is str else None
        if match is None:
            fail_with("wrong_type", 'This must be an amount in rand as a string, like "0.10".')
        integer, places = match.groups(default="")
        if len(integer.lstrip("0")) > self._max_integer_digits or len(places) > self._max_places:
            limits = f"At most {self._max_integer_digits} digits and {self._max_places} decimal places."
            fail_with("out_of_range", limits)
        return Decimal(data)

    def from_text(self, text: str) -> Any:
        return text


class Choice(serializers.ChoiceField):
    """One of a fixed set of strings."""

    def to_internal_value(self, data: Any) -> str:
        if type(data) is not str:
            fail_with("wrong_type", "This must be a string.")
        if data not in self.choices:
            fail_with("invalid_choice", "This must be one of " + ", ".join(self.choices) + ".")
        return data

    def from_text(self, text: str) -> Any:
        return text


class Flag(serializers.BooleanField):
    """JSON true or false: not 1, "true" or null."""

    def to_internal_value(self, data: Any) -> bool:
        if type(data) is not bool:
            fail_with("wrong_type", "This must be true or false.")
        return data

    def from_text(self, text: str) -> Any:
        return {"true": True, "false": False}.get(text, text)


class Metadata(serializers.DictField):
    """The caller's own JSON object, at most 4 KiB as canonical JSON. Its keys are not renamed."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        error = metadata_error(data)
        if error is not None:
            fail_with(*error)
        metadata: dict[str, Any] = data
        return metadata
