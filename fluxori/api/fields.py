"""Fields that take one kind of JSON value and nothing like it. ``from_text`` reads the same value from a query."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

from django.core.validators import validate_email
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from fluxori.core.timestamps import from_rfc3339

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DECIMAL = re.compile(r"([0-9]+)(?:\.([0-9]+))?")
_WHOLE = re.compile(r"-?[0-9]{1,30}")

_NOT_A_TIME = "This must be a time with an offset, like 2026-03-01T12:00:00Z."

MAX_METADATA_BYTES = 4096


def refuse(code: str, detail: str) -> NoReturn:
    raise ValidationError(detail, code=code)


class WholeNumber(serializers.IntegerField):
    """A JSON integer between ``min_value`` and ``max_value``: not "9", 9.5, 9.0 or true."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            refuse("wrong_type", "This must be a whole number.")
        return data

    def from_text(self, text: str) -> Any:
        return int(text) if _WHOLE.fullmatch(text) else text


class Text(serializers.CharField):
    """A JSON string, kept as it was written. Not blank unless ``allow_blank``; no NUL, no lone surrogate."""

    def to_internal_value(self, data: Any) -> str:
        if type(data) is not str:
            refuse("wrong_type", "This must be a string.")
        return data

    def from_text(self, text: str) -> Any:
        return text


class Email(Text):
    """An e-mail address of at most 254 characters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=254, **kwargs)
        self.validators.append(validate_email)


class Id(serializers.UUIDField):
    """A UUID in its usual spelling."""

    def to_internal_value(self, data: Any) -> UUID:
        if type(data) is not str or not _UUID.fullmatch(data):
            refuse("wrong_type", "This must be a UUID.")
        return UUID(data)

    def from_text(self, text: str) -> Any:
        return text


class Timestamp(serializers.DateTimeField):
    """An RFC 3339 instant with its offset. Digits beyond the microsecond are cut off."""

    def to_internal_value(self, value: Any) -> datetime:
        try:
            return from_rfc3339(value) if type(value) is str else refuse("wrong_type", _NOT_A_TIME)
        except ValueError:
            refuse("wrong_type", _NOT_A_TIME)
        except OverflowError:
            refuse("out_of_range", "This lies beyond the calendar.")

    def from_text(self, text: str) -> Any:
        return text


class Rand(serializers.DecimalField):
    """Money: a string in rand with at most 6 decimal places, never negative."""

    def __init__(self, *, max_digits: int = 18, decimal_places: int = 6, **kwargs: Any) -> None:
        super().__init__(max_digits=max_digits, decimal_places=decimal_places, **kwargs)
        self._whole, self._places = max_digits - decimal_places, decimal_places

    def to_internal_value(self, data: Any) -> Decimal:
        written = _DECIMAL.fullmatch(data) if type(data) is str else None
        if written is None:
            refuse("wrong_type", 'This must be an amount in rand as a string, like "0.10".')
        whole, places = written.groups(default="")
        if len(whole.lstrip("0")) > self._whole or len(places) > self._places:
            refuse("out_of_range", f"At most {self._whole} digits and {self._places} decimal places.")
        return Decimal(data)

    def from_text(self, text: str) -> Any:
        return text


class Choice(serializers.ChoiceField):
    """One of a few words."""

    def to_internal_value(self, data: Any) -> str:
        if type(data) is not str:
            refuse("wrong_type", "This must be a string.")
        if data not in self.choices:
            refuse("invalid_choice", "This must be one of " + ", ".join(self.choices) + ".")
        return data

    def from_text(self, text: str) -> Any:
        return text


class Flag(serializers.BooleanField):
    """true or false, and nothing that resembles them."""

    def to_internal_value(self, data: Any) -> bool:
        if type(data) is not bool:
            refuse("wrong_type", "This must be true or false.")
        return data

    def from_text(self, text: str) -> Any:
        return {"true": True, "false": False}.get(text, text)


class Metadata(serializers.DictField):
    """The caller's own JSON object, at most 4 KiB as canonical JSON; its keys stay as they are."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if type(data) is not dict:
            refuse("wrong_type", "This must be a JSON object.")
        if any("\0" in text for text in _strings(data)):
            refuse("wrong_type", "NUL is not allowed.")
        try:
            canonical = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        except UnicodeEncodeError:
            refuse("wrong_type", "A lone surrogate is not a character.")
        if len(canonical) > MAX_METADATA_BYTES:
            refuse("too_long", f"At most {MAX_METADATA_BYTES} bytes as canonical JSON.")
        return data


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for name, inner in value.items():
                yield name
                yield from _strings(inner)
        case list():
            for inner in value:
                yield from _strings(inner)
