"""Keyset pagination: ``{"results": [...], "next": url or null, "previous": url or null}``.

Each page is read with one index range scan, whatever its position in the list, and rows are never counted. A view
declares the order of its list: ``keyset = ("sequence",)`` names columns of its model that are unique together. All are
descending (newest first); with ``ascending = True`` all are ascending.

A view with ``followable = True`` has a key that increases in the order of the commits. With ``?follow=true`` its pages
have ``follow``, the address of the rows that are added later, also at the head of the list and if it is empty. Reading
it again and again returns each new row once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from django.core import signing
from django.core.exceptions import ValidationError
from django.db.models import Model
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from fluxori.api.errors import InvalidInputError
from fluxori.api.fields import WholeNumber
from fluxori.core.errors import FieldError
from fluxori.db.keyset import after_key

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

Direction = Literal["older", "newer"]


@dataclass(frozen=True, slots=True)
class Cursor:
    """The start of a page: after the row with these key values, in this direction."""

    direction: Direction
    values: tuple[str, ...]


class KeysetPagination(BasePagination):
    """One page of an ordered queryset. A cursor is signed and valid only for the list and filters it was made for.

    :raises InvalidInputError: ``limit`` is outside 1 to 200, or the cursor was changed or belongs to another list
    """

    keyset: Sequence[str] = ("id",)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self._request = request
        self._keyset: Sequence[str] = getattr(view, "keyset", self.keyset)
        self._follows = getattr(view, "followable", False) and _flag(request, "follow")
        self._limit = _page_size(request)
        self._cursor = self._read_cursor(queryset.model)
        newer = self._cursor is not None and self._cursor.direction == "newer"
        is_ascending = newer != getattr(view, "ascending", False)
        ordering = [name if is_ascending else f"-{name}" for name in self._keyset]
        ordered = queryset.order_by(*ordering)
        if self._cursor is not None and self._cursor.values:
            ordered = ordered.filter(after_key(ordering, self._cursor.values))
        rows = list(ordered[: self._limit + 1])
        self._more = len(rows) > self._limit
        del rows[self._limit :]
        self._rows = rows[::-1] if newer else rows
        return self._rows

    def page_of(self, results: Iterable[Any]) -> dict[str, Any]:
        """Return the page with ``results``, one for each row of ``paginate_queryset``."""
        newer = self._cursor is not None and self._cursor.direction == "newer"
        has_older = self._more or newer
        has_newer = self._more if newer else self._cursor is not None
        page = {
            "results": list(results),
            "next": self._link("older", self._rows[-1]) if self._rows and has_older else None,
            "previous": self._link("newer", self._rows[0]) if self._rows and has_newer else None,
        }
        if self._follows:
            page["follow"] = self._link("newer", self._rows[0]) if self._rows else self._link_to(self._end_of_list())
        return page

    def _end_of_list(self) -> Cursor:
        """Return the cursor for what is added after an empty page: that of the page, or the start of the list."""
        newer = self._cursor is not None and self._cursor.direction == "newer"
        return self._cursor if newer and self._cursor else Cursor("newer", ())

    def get_paginated_response(self, data: Any) -> Response:
        return Response(self.page_of(data))

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        follow = {
            "type": "string",
            "format": "uri",
            "description": "The rows that are added later. Only with `follow=true`.",
        }
        properties = {"results": schema, "next": link, "previous": link}
        return {
            "type": "object",
            "required": list(properties),
            "properties": {**properties, "follow": follow},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
        follow = {"name": "follow", "in": "query", "required": False, "schema": {"type": "boolean"}}
        return [
            *([follow] if getattr(view, "followable", False) else []),
            {"name": "limit", "in": "query", "required": False, "schema": limit},
            {"name": "cursor", "in": "query", "required": False, "schema": {"type": "string"}},
        ]

    def _read_cursor(self, model: type[Model]) -> Cursor | None:
        text = self._request.query_params.get("cursor")
        if text is None:
            return None
        try:
            signer = _signer(self._request.path, self._request.query_params)
            direction, *values = signer.unsign_object(text)
            # The signature proves that this code made the cursor. The key columns may have changed type since then.
            for name, value in zip(self._keyset if values else (), values, strict=True):
                column: Any = model._meta.get_field(name)  # noqa: SLF001 - Django documents it
                column.to_python(value)
        except (signing.BadSignature, ValueError, ValidationError):
            raise InvalidInputError(
                [FieldError("cursor", "invalid_cursor", "This cursor does not belong to this list.")]
            ) from None
        return Cursor(direction, tuple(values))

    def _link(self, direction: Direction, row: Any) -> str:
        return self._link_to(Cursor(direction, tuple(_text(getattr(row, name)) for name in self._keyset)))

    def _link_to(self, position: Cursor) -> str:
        next_cursor = cursor(self._request.path, position.direction, position.values, self._request.query_params)
        others = [(name, value) for name, value in self._request.query_params.items() if name != "cursor"]
        return self._request.build_absolute_uri(f"{self._request.path}?{urlencode([*others, ('cursor', next_cursor)])}")


def cursor(path: str, direction: Direction, values: Sequence[str], params: Mapping[str, str] | None = None) -> str:
    """Return a cursor for the page after the row with these key values, signed for this list and its filters."""
    signed: str = _signer(path, params or {}).sign_object([direction, *values])
    return signed


def _signer(path: str, params: Mapping[str, str]) -> signing.Signer:
    """Return a signer that binds a cursor to this path and its filters. The page size may change between pages."""
    filters = sorted((name, value) for name, value in params.items() if name not in {"cursor", "limit"})
    return signing.Signer(salt=f"fluxori.page:{path}?{urlencode(filters)}")


def _flag(request: Request, name: str) -> bool:
    texts = request.query_params.getlist(name)
    if texts and texts not in (["true"], ["false"]):
        raise InvalidInputError([FieldError(name, "wrong_type", "This must be true or false, once.")])
    return texts == ["true"]


_LIMIT_FIELD = WholeNumber(min_value=1, max_value=MAX_LIMIT)


def _page_size(request: Request) -> int:
    texts = request.query_params.getlist("limit")
    if not texts:
        return DEFAULT_LIMIT
    if len(texts) > 1:
        raise InvalidInputError([FieldError("limit", "wrong_type", "This parameter is given twice.")])
    value = _LIMIT_FIELD.from_text(texts[0])
    if type(value) is not int or not 1 <= value <= MAX_LIMIT:
        raise InvalidInputError(
            [FieldError("limit", "out_of_range", f"This must be a whole number from 1 to {MAX_LIMIT}.")]
        )
    return value


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
