"""CSV export of a change list: every row of the filtered list, read and sent in batches.

The export reads with keyset pagination, so memory use does not depend on the number of rows. Every value is converted
to text first; then text that a spreadsheet would run as a formula is escaped. The file begins with a byte order mark,
without which Excel does not read it as UTF-8.
"""

import csv
import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

from django.db.models import Model, QuerySet

from fluxori.adminkit.formatting import NEVER, is_never
from fluxori.adminkit.keyset import rows_after

BYTE_ORDER_MARK = "\ufeff"
_BATCH_SIZE = 2_000
_FORMULA_CHARACTERS = "=+-@\u2212"  # the last one is the minus sign of typesetting


class _Echo:
    """A file-like object for ``csv.writer`` that returns each line instead of storing it."""

    def write(self, text: str) -> str:
        return text


def csv_lines(
    queryset: QuerySet[Any],
    extra_columns: Mapping[str, Callable[[Any], Any]],
    prepare_rows: Callable[[Sequence[Any]], None] | None = None,
) -> Iterator[str]:
    """Yield a header line and then one line per row: every column of the table, then ``extra_columns``.

    An extra column with the name of a column replaces it. ``prepare_rows`` is called with each batch of rows first.
    """
    fields = [field.attname for field in queryset.model._meta.concrete_fields if field.name != "password"]  # noqa: SLF001
    columns: dict[str, Callable[[Any], Any]] = {name: attrgetter(name) for name in fields}
    columns |= extra_columns
    writer = csv.writer(_Echo())
    yield BYTE_ORDER_MARK + writer.writerow(columns)
    last: Model | None = None
    while True:
        rows = list(rows_after(queryset, last)[:_BATCH_SIZE])
        if prepare_rows is not None:
            prepare_rows(rows)
        for row in rows:
            yield writer.writerow([csv_value(column(row)) for column in columns.values()])
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
    if value is None or isinstance(value, int | float | Decimal):
        return "" if value is None else value
    text = _text(value)
    return f"'{text}" if is_formula(text) else text


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet could read the text as a formula. Full-width characters count as plain ones.

    >>> is_formula("\uff1d1+1"), is_formula(" \t=1+1"), is_formula("1+1")
    (True, True, False)
    """
    if text[:1] in {"\t", "\r", "\n"}:
        return True
    # Spaces, control and format characters before the formula do not count.
    visible = (character for character in text if unicodedata.category(character)[0] not in "ZC")
    first = unicodedata.normalize("NFKC", next(visible, ""))
    return bool(first) and first[0] in _FORMULA_CHARACTERS


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return NEVER if is_never(value) else value.astimezone(UTC).isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
