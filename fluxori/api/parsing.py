"""Request bodies: bounded in size and depth, and unambiguous JSON. Others are rejected before the view runs."""

import json
from codecs import BOM_UTF8
from collections.abc import Mapping
from math import isfinite
from typing import IO, Any

from rest_framework.parsers import BaseParser

from fluxori.api.errors import InvalidInputError, MalformedRequestError, PayloadTooLargeError, UnsupportedEncodingError
from fluxori.core.errors import FieldError

KIB = 1024
MAX_BODY = 64 * KIB
MAX_BATCH_BODY = 1024 * KIB
MAX_DEPTH = 32
_MAX_DIGITS = 4000
_MAX_DISCARDED = 32 * 1024 * KIB


class JSONParser(BaseParser):
    """Parses a body of one JSON object, of at most 64 KiB unless the view has another ``max_body``.

    :raises PayloadTooLargeError: the body is larger, whatever Content-Length says; the rest is never kept in memory
    :raises UnsupportedEncodingError: the body is compressed, or labelled as compressed
    :raises MalformedRequestError: not UTF-8, not JSON, NaN or Infinity, a number too large for a float, a name twice in
        one object, or nested deeper than 32 levels
    :raises InvalidInputError: JSON, but not an object
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002 - the framework's signature
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        context = parser_context or {}
        _require_plain(context)
        limit: int = getattr(context.get("view"), "max_body", MAX_BODY)
        body = _read(stream, limit, declared=_declared_length(context))
        parsed = parse_json(body)
        if not isinstance(parsed, dict):
            raise InvalidInputError([FieldError("", "wrong_type", "The body must be a JSON object.")])
        return parsed


def parse_json(body: bytes) -> Any:
    """Return the parsed body.

    :raises MalformedRequestError: the body is not unambiguous JSON
    """
    if body.startswith(BOM_UTF8):
        raise MalformedRequestError("The body begins with a byte order mark. Send JSON without one.")
    try:
        text = body.decode("utf-8")
        parsed = _decoder.decode(text)
    except UnicodeDecodeError:
        raise MalformedRequestError("The body is not UTF-8.") from None
    except RecursionError:
        raise MalformedRequestError(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError as error:
        raise MalformedRequestError(f"The body is not JSON: {error}") from None
    # The depth is computed only for a body with enough brackets to be too deep, which is rare.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth_exceeds(parsed, MAX_DEPTH):
        raise MalformedRequestError(f"The body is nested deeper than {MAX_DEPTH} levels.")
    return parsed


def _require_plain(context: Mapping[str, Any]) -> None:
    headers: Mapping[str, str] = context["request"].META if "request" in context else {}
    encoding = headers.get("HTTP_CONTENT_ENCODING", "").strip()
    if encoding.lower() not in {"", "identity"}:
        raise UnsupportedEncodingError(encoding)


def _declared_length(context: Mapping[str, Any]) -> int:
    """Return Content-Length, or 0 if it is missing or the body is chunked."""
    headers: Mapping[str, str] = context["request"].META if "request" in context else {}
    return 0 if "HTTP_TRANSFER_ENCODING" in headers else int(headers.get("CONTENT_LENGTH") or 0)


def _read(stream: IO[Any], limit: int, *, declared: int) -> bytes:
    body: bytes = b"" if declared > limit else stream.read(limit + 1)
    if declared > limit or len(body) > limit:
        _discard(stream)
        raise PayloadTooLargeError(limit=limit)
    return body


def _discard(stream: IO[Any]) -> None:
    """Read up to 32 MiB and drop it: a client cannot read the response if the connection closes while it sends."""
    remaining = _MAX_DISCARDED
    while remaining > 0 and (chunk := stream.read(min(remaining, MAX_BODY))):
        remaining -= len(chunk)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {duplicate[:100]!r} appears twice in one object")
    return members


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:  # Python rejects the conversion of more than 4,300 digits
        raise ValueError("a number is too large")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError("a number is too large")
    return value


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_int=_integer, parse_constant=_constant
)


def _depth_exceeds(parsed: Any, limit: int) -> bool:
    level = [parsed]
    for _ in range(limit + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)
