"""Columns of change lists and read-only fields of change forms: timestamps, credits, names and ids.

Each function returns a display function for an admin class: ``created = timestamp_column("created_at")``. Use the
attribute name in ``list_display`` or ``fields``.
"""

from collections.abc import Callable
from typing import Any

from django.contrib import admin

from fluxori.adminkit.formatting import NOTHING, expiry_html, format_credits, id_html, name_html, timestamp_html

Column = Callable[[Any, Any], str]


def timestamp_column(field: str, description: str = "") -> Column:
    """Return a column that shows the timestamp in ``field``."""
    return _column(field, description or field.removesuffix("_at").replace("_", " "), timestamp_html)


def expiry_column(field: str, description: str = "") -> Column:
    """Return a column that shows the expiry in ``field``; a row without one never expires."""
    return _column(field, description or field.removesuffix("_at").replace("_", " "), expiry_html)


def credits_column(field: str, description: str = "") -> Column:
    """Return a column that shows the number of credits in ``field``, like 20,000."""
    return _column(field, description, format_credits)


def name_column(field: str, description: str = "") -> Column:
    """Return a column that shows the name in ``field``, or the name of the row that ``field`` references."""
    return _column(field, description, lambda value: name_html(value or NOTHING))


def id_column(field: str = "id", description: str = "") -> Column:
    """Return a read-only field that shows an id with a button that copies it."""
    return _column(field, description, lambda value: id_html(value) if value not in (None, "") else NOTHING)


def _column(field: str, description: str, render: Callable[[Any], str]) -> Column:
    @admin.display(description=description or field.replace("_", " "))
    def column(_admin: Any, row: Any) -> str:
        return render(getattr(row, field))

    return column
