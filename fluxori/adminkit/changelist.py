"""Change lists: offered filters, date filters, predefined links, a CSV export, and keyset pagination for any size.

``BaseAdmin`` is the base class of all admin classes. ``ListAdmin`` is for lists of any size: such a list is never
counted, and it has one fixed order for which an index exists, so a page costs the same at any depth.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import structlog
from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, ORDER_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.dateparse import parse_date
from django.utils.timezone import make_aware
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateFilter
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList

from fluxori.adminkit.csv_export import csv_lines
from fluxori.adminkit.keyset import rows_after
from fluxori.adminkit.safe_forms import SafeFormsMixin

AFTER = "after"
EXPORT_PERMISSION = "console.export_csv"
NO_SUCH_FILTER = "This list has no such filter."

logger = structlog.get_logger("fluxori.console")


class NoCountPaginator(InfinitePaginator):  # type: ignore[misc] # django-unfold has no types
    """A paginator that never counts the rows. Its template links to the newest and to the older rows."""

    template_name = "admin/console/pagination.html"


class CheckedChangeList(ChangeList):  # type: ignore[misc]
    """A change list that accepts only the filters that it offers. Any other parameter is an invalid filter."""

    def get_filters(self, request: HttpRequest) -> Any:
        """Apply the filters of the list. The links of other pages may filter by ``link_filters`` too.

        :raises IncorrectLookupParameters: the list offers no such filter, or the value contains a null character
        """
        params = self.get_filters_params()
        for name, values in params.items():
            if any("\x00" in value for value in values):
                raise IncorrectLookupParameters(f"{name} contains a null character")
        try:
            filters = super().get_filters(request)
        except DisallowedModelAdminLookup as error:
            raise IncorrectLookupParameters(str(error)) from error
        _, _, remaining, _, _ = filters
        for name in remaining.keys() - set(self.model_admin.link_filters):
            raise IncorrectLookupParameters(f"this list has no filter {name!r}")
        return filters

    @property
    def filter_query(self) -> str:
        """The filter and search term of this list as a normalized query string, without the position of the page."""
        pairs = [(name, value) for name, values in self.get_filters_params().items() for value in values if value]
        return urlencode(sorted([*pairs, (SEARCH_VAR, self.query)] if self.query else pairs))


class KeysetChangeList(CheckedChangeList):
    """A page of rows in the order of the admin class. ``?after=<id>`` starts the page after that row."""

    after: str | None = None
    older: str | None = None

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        filters: dict[str, Any] = super().get_filters_params(params)
        self.after = (filters.pop(AFTER, None) or [None])[-1]
        return filters

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        # The order of the admin class has an index. A parameter for another order has no effect.
        self.params.pop(ORDER_VAR, None)
        return super().get_ordering(request, queryset)

    def get_results(self, request: HttpRequest) -> None:
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        rows = list(rows_after(self.queryset, self._last_row())[: self.list_per_page + 1])
        self.result_list = rows[: self.list_per_page]
        if len(rows) > self.list_per_page:
            self.older = self.get_query_string({AFTER: str(self.result_list[-1].pk)})
        self.model_admin.prepare_rows(self.result_list)
        self.newest = self.get_query_string(remove=[AFTER]) if self.after else None
        self.result_count = len(self.result_list)
        self.full_result_count = self.result_count  # the real count is unknown, and no page shows it
        self.show_admin_actions = bool(rows)
        self.can_show_all = self.multi_page = False

    def _last_row(self) -> Model | None:
        """Return the row that ``?after=`` names: the last row of the previous page."""
        if self.after is None:
            return None
        if "\x00" in self.after:
            raise IncorrectLookupParameters("the position contains a null character")
        try:
            row: Model = self.root_queryset.get(pk=self.after)
        except (self.model.DoesNotExist, ValidationError, ValueError, TypeError) as error:
            raise IncorrectLookupParameters(str(error)) from error
        return row


class DateRangeFilter(RangeDateFilter):  # type: ignore[misc]
    """A range of days in the time zone of the reader. Both the first and the last day are included."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first, last = self._day("from"), self._day("to")
        if first is not None:
            queryset = queryset.filter(**{f"{self.parameter_name}__gte": _midnight(first)})
        if last is not None and last < date.max:  # every row is before the end of the calendar
            queryset = queryset.filter(**{f"{self.parameter_name}__lt": _midnight(last + timedelta(days=1))})
        return queryset

    def _day(self, end: str) -> date | None:
        text = self.used_parameters.get(f"{self.parameter_name}_{end}")
        if not text:
            return None
        try:
            day = parse_date(text)
        except ValueError:
            day = None
        if day is None:
            raise IncorrectLookupParameters(f"{text!r} is not a day like 2026-03-01")
        return day


def _midnight(day: date) -> datetime:
    """Return the start of a day in the time zone of the reader, or in UTC at the ends of the calendar."""
    start = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - made aware here
    try:
        return make_aware(start).astimezone(UTC)
    except OverflowError:
        return start.replace(tzinfo=UTC)


class BaseAdmin(SafeFormsMixin, ModelAdmin):  # type: ignore[misc]
    """The base class of all admin classes: checked parameters, keys and forms, predefined links, and a CSV export.

    ``link_filters`` are fields by which other pages filter the list in their links; the list itself does not offer
    them. ``saved_links`` are links to frequent filters, as (label, query string). ``export_columns`` are columns that
    the CSV file has in addition to those of the table, usually names in addition to ids. ``empty_message`` says, where
    there are no rows, how the first one is created.
    """

    list_before_template = "admin/console/list_before.html"
    list_filter_submit = True
    link_filters: Sequence[str] = ()
    saved_links: Sequence[tuple[str, str]] = ()
    export_columns: Mapping[str, Callable[[Any], Any]] = {}
    empty_message = ""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CheckedChangeList]:
        return CheckedChangeList

    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(self.export_view)
        return [path("export/", export, name=self._export_name()), *super().get_urls()]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field) if self.is_valid_key(object_id) else None
        if row is not None:
            self.prepare_rows([row])
        return row

    def prepare_rows(self, rows: Sequence[Any]) -> None:
        """Change rows in memory before a list, a page or an export shows them, like a status that has ended by now."""

    def is_valid_key(self, object_id: str) -> bool:
        """Return whether ``object_id``, from the address of a page, can be the primary key of a row."""
        try:
            self.opts.pk.to_python(object_id)
        except ValidationError:
            return False
        return "\x00" not in object_id

    def changelist_view(self, request: Any, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if ERROR_FLAG in request.GET:
            messages.error(request, NO_SUCH_FILTER)
        context = {"saved_links": self.saved_links, **(extra_context or {})}
        if request.user.has_perm(EXPORT_PERMISSION):
            params = request.GET.copy()
            params.pop(AFTER, None)
            context["export_url"] = f"{reverse(f'admin:{self._export_name()}')}?{params.urlencode()}"
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def export_view(self, request: Any) -> HttpResponse | StreamingHttpResponse:
        """Stream every row of the filtered list as CSV."""
        if not (self.has_view_permission(request) and request.user.has_perm(EXPORT_PERMISSION)):
            raise PermissionDenied
        try:
            queryset = self.export_queryset(self.get_changelist_instance(request).queryset)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"../?{ERROR_FLAG}=1")
        name = self.opts.model_name
        logger.info("exported", list=name, actor=str(request.user.pk), filters=sorted(request.GET))
        return StreamingHttpResponse(
            csv_lines(queryset, self.export_columns, self.prepare_rows),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}.csv"', "X-Accel-Buffering": "no"},
        )

    def export_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the list in an order for keyset pagination."""
        return queryset.order_by("pk")

    def _export_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_export"


class ListAdmin(BaseAdmin):
    """A model with a list that may have millions of rows.

    The list has only the order of the admin class: any other would read millions of rows to show fifty.
    """

    sortable_by: Any = ()
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    paginator = NoCountPaginator

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CheckedChangeList]:
        return KeysetChangeList

    def get_paginator(self, request: HttpRequest, queryset: Any, per_page: int, *args: Any, **kwargs: Any) -> Any:
        # The log entries of one row, unlike the list of all rows, are few enough to count.
        if queryset.model is not self.model:
            return Paginator(queryset, per_page, *args, **kwargs)
        return super().get_paginator(request, queryset, per_page, *args, **kwargs)

    def export_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset
