"""Serialization of responses to compact JSON."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from rest_framework.renderers import BaseRenderer


def _serialize(value: Any) -> str:
    match value:
        case UUID():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Decimal():
            return format(value, "f")
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form here")


# Created once: json.dumps with options builds an encoder for every call.
_encoder = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False, default=_serialize
)


def to_json(data: Any) -> bytes:
    """Return UTF-8 JSON. Ids and decimals are strings, timestamps are RFC 3339 in UTC.

    A lone surrogate becomes a question mark. Only an error that repeats invalid input can contain one.
    """
    return _encoder.encode(data).encode("utf-8", "replace")


class JSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, *_: object) -> bytes:
        return b"" if data is None else to_json(data)
