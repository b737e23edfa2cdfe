"""What every page over the ledger shares: it shows, and changes nothing, whoever looks."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import ShowFacets
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator

NOTHING = "-"


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """A model that staff can find and read. Nobody adds, changes or deletes here, superusers included.

    Lists are never counted and only ordered by their key: both would read millions of rows to show a hundred.
    """

    actions = None
    sortable_by: Any = ()
    ordering: Any = ("-pk",)
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    has_history = False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        # Rows that nobody edits have no history; the ledger is one.
        extra_context = {"show_history": self.has_history, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, extra_context)

    def get_paginator(self, request: HttpRequest, queryset: Any, per_page: int, *args: Any, **kwargs: Any) -> Any:
        # The log of one row, unlike the list of them all, is short enough to count.
        uncounted = queryset.model is self.model
        return (InfinitePaginator if uncounted else Paginator)(queryset, per_page, *args, **kwargs)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def credits_said(amount: int | None) -> str:
    """Return a count of credits for people, like 20,000."""
    return NOTHING if amount is None else f"{amount:,}"


def instant_said(at: datetime | None) -> str:
    """Return an instant for people, with its zone."""
    return NOTHING if at is None else date_format(at, "DATETIME_FORMAT")


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
