"""What every page over the ledger shares: it shows, and changes nothing, whoever looks."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join

from fluxori.adminkit.changelist import ListAdmin
from fluxori.adminkit.formatting import NOTHING, format_credits, format_timestamp, id_html, name_html, timestamp_html

__all__ = ["NOTHING", "format_credits", "format_timestamp"]


class ReadOnlyAdmin(ListAdmin):
    """A model that staff can find and read. Nobody adds, changes or deletes here, superusers included."""

    actions = None
    ordering: Any = ("-pk",)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **about: Any) -> Any:
        # Rows that nobody edits have no history; the ledger is one.
        return super().render_change_form(request, {**context, "show_history": False}, **about)

    def get_paginator(self, request: HttpRequest, queryset: Any, per_page: int, *args: Any, **kwargs: Any) -> Any:
        # The log of one row, unlike the list of them all, is short enough to count.
        if queryset.model is not self.model:
            return Paginator(queryset, per_page, *args, **kwargs)
        return super().get_paginator(request, queryset, per_page, *args, **kwargs)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def instant(field: str, description: str = "") -> Callable[[Any, Any], str]:
    """Return a column, or a read-only field, that shows the instant in ``field``."""

    @admin.display(description=description or field.removesuffix("_at").replace("_", " "))
    def shown(_admin: Any, row: Any) -> str:
        return timestamp_html(getattr(row, field))

    return shown


def counted(field: str, description: str = "") -> Callable[[Any, Any], str]:
    """Return a column, or a read-only field, that shows the count of credits in ``field``, like 20,000."""

    @admin.display(description=description or field.replace("_", " "))
    def shown(_admin: Any, row: Any) -> str:
        return format_credits(getattr(row, field))

    return shown


def named(field: str, description: str = "") -> Callable[[Any, Any], str]:
    """Return a column that shows the name in ``field``, or of the row that it refers to."""

    @admin.display(description=description or field.replace("_", " "))
    def shown(_admin: Any, row: Any) -> str:
        return name_html(getattr(row, field) or NOTHING)

    return shown


def identifier(field: str = "id", description: str = "") -> Callable[[Any, Any], str]:
    """Return a read-only field that shows an id with a button that copies it."""

    @admin.display(description=description or field.replace("_", " "))
    def shown(_admin: Any, row: Any) -> str:
        key = getattr(row, field)
        return id_html(key) if key not in (None, "") else NOTHING

    return shown


def lines(told: Iterable[tuple[str, str]]) -> str:
    """Return facts one below the other, each with its name."""
    said = format_html_join("", "<div>{} {}</div>", ((name.replace("_", " "), value) for name, value in told))
    return said or NOTHING


def link_to(row: Model | None) -> str:
    """Return a link to the admin page of ``row``, or its plain name where it has none."""
    if row is None:
        return NOTHING
    label = row._meta.label_lower  # noqa: SLF001 - public in all but its name
    return link(label, row.pk, str(row))


def link(label: str, key: Any, text: str) -> str:
    """Return a link to the admin page of the row with this key, ``label`` being like ``credits.creditgrant``."""
    try:
        return anchor(reverse(f"admin:{label.replace('.', '_')}_change", args=[key]), text)
    except NoReverseMatch:
        return text


def listing(label: str, text: str, **only: Any) -> str:
    """Return a link to the list of a model, narrowed to ``only``."""
    return anchor(f"{reverse(f'admin:{label}_changelist')}?{urlencode(only)}", text)


def anchor(url: str, text: str) -> str:
    """Return a link as the rest of the admin draws them."""
    return format_html('<a class="text-primary-600 dark:text-primary-500 hover:underline" href="{}">{}</a>', url, text)
