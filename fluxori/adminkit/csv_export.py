"""CSV export of a change list: every row of the filtered list, read and sent in batches.

The export reads with keyset pagination, so memory use does not depend on the number of rows. Text that a spreadsheet
would run as a formula is escaped.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db.models import Model, QuerySet

from fluxori.adminkit.formatting import NEVER, is_never
from fluxori.adminkit.keyset import rows_after

_BATCH_SIZE = 2_000
_FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n")


class _Echo:
    """A file-like object for ``csv.writer`` that returns each line instead of storing it."""

    def write(self, text: str) -> str:
        return text


def csv_lines(queryset: QuerySet[Any], extra_columns: Mapping[str, Callable[[Any], Any]]) -> Iterator[str]:
    """Yield a header line and then one line per row: every column of the table, then ``extra_columns``."""
    fields = [field.attname for field in queryset.model._meta.concrete_fields if field.name != "password"]  # noqa: SLF001
    writer = csv.writer(_Echo())
    yield writer.writerow([*fields, *extra_columns])
    last: Model | None = None
    while True:
        rows = list(rows_after(queryset, last)[:_BATCH_SIZE])
        for row in rows:
            columns = (getattr(row, name) for name in fields)
            extra = (column(row) for column in extra_columns.values())
            yield writer.writerow([csv_value(value) for value in (*columns, *extra)])
        if len(rows) < _BATCH_SIZE:
            return
        last = rows[-1]


def csv_value(value: Any) -> Any:
    """Return a value in the form that the CSV file has. A quote is put before text that looks like a formula.

    >>> csv_value("=HYPERLINK(A1)")
    "'=HYPERLINK(A1)"
    >>> csv_value(-40)
    -40
    """
    if value is None:
        return ""
    if isinstance(value, datetime) and is_never(value):
        return NEVER
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)  # starts with a bracket, so it is not a formula
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA_PREFIXES) else value
    return value
