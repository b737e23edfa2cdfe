"""Keyset pagination of a queryset after one of its rows. ``fluxori.db.keyset`` has the condition."""

from typing import Any

from django.db.models import Model, QuerySet

from fluxori.db.keyset import after_key


def rows_after(queryset: QuerySet[Any], last: Model | None) -> QuerySet[Any]:
    """Return the rows after ``last`` in the order of the queryset, which must end with the primary key."""
    if last is None:
        return queryset
    ordering = [str(part) for part in queryset.query.order_by]
    return queryset.filter(after_key(ordering, [_column(last, part.lstrip("-")) for part in ordering]))


def _column(row: Model, name: str) -> Any:
    return row.pk if name == "pk" else getattr(row, row._meta.get_field(name).attname)  # type: ignore[union-attr]  # noqa: SLF001
