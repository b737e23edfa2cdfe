"""Lists of any size: never counted, read on from where a page ended, narrowed by date, and taken along as CSV."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import structlog
from django.contrib.admin import ShowFacets
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.dateparse import parse_date
from django.utils.timezone import make_aware
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateFilter
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList

AFTER = "after"
EXPORT = "console.export_csv"
_CHUNK = 2_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

logger = structlog.get_logger("fluxori.console")


class NoCountPaginator(InfinitePaginator):  # type: ignore[misc] # django-unfold has no types
    template_name = "admin/console/older.html"


class KeysetChangeList(ChangeList):  # type: ignore[misc]
    """A page of rows in the admin's own order, beginning beyond the row that ``?after=`` names.

    However deep, a page costs what the first one does, where an index has that order.
    """

    after: str | None = None
    older: str | None = None

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = super().get_filters_params(params)
        self.after = (found.pop(AFTER, None) or [None])[-1]
        return found

    @property
    def chosen(self) -> str:
        """The filter of this list as a query string, always spelled the same: without where its page begins."""
        told = [(name, value) for name, values in self.get_filters_params().items() for value in values if value]
        return urlencode(sorted([*told, (SEARCH_VAR, self.query)] if self.query else told))

    def get_results(self, request: HttpRequest) -> None:
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        rows = list(after_key(self.queryset, self._last_seen())[: self.list_per_page + 1])
        self.result_list = rows[: self.list_per_page]
        if len(rows) > self.list_per_page:
            self.older = self.get_query_string({AFTER: str(self.result_list[-1].pk)})
        self.newest = self.get_query_string(remove=[AFTER]) if self.after else None
        self.result_count = len(self.result_list)
        self.full_result_count = self.result_count  # what is not counted is not told
        self.show_admin_actions = bool(rows)
        self.can_show_all = self.multi_page = False

    def _last_seen(self) -> Model | None:
        if self.after is None:
            return None
        try:
            found: Model = self.root_queryset.get(pk=self.after)
        except (self.model.DoesNotExist, ValidationError, ValueError, TypeError) as fault:
            raise IncorrectLookupParameters(str(fault)) from fault
        return found


def after_key(queryset: QuerySet[Any], last: Model | None) -> QuerySet[Any]:
    """Return what follows ``last`` in the queryset's own order, whose final part is the key."""
    if last is None:
        return queryset
    rest = Q()
    equal = Q()
    bound = Q()
    for place, part in enumerate(queryset.query.order_by):
        name = str(part).lstrip("-")
        value = last.pk if name == "pk" else getattr(last, queryset.model._meta.get_field(name).attname)  # noqa: SLF001
        further = "lt" if str(part).startswith("-") else "gt"
        if place == 0:
            bound = Q(**{f"{name}__{further}e": value})  # what lets an index begin in the right place
        rest |= equal & Q(**{f"{name}__{further}": value})
        equal &= Q(**{name: value})
    return queryset.filter(bound, rest)


class DateRangeFilter(RangeDateFilter):  # type: ignore[misc]
    """Days in the zone of whoever looks: from the first instant of one to the last of the other."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first, last = self._day("from"), self._day("to")
        if first is not None:
            queryset = queryset.filter(**{f"{self.parameter_name}__gte": first})
        if last is not None:
            queryset = queryset.filter(**{f"{self.parameter_name}__lt": last + timedelta(days=1)})
        return queryset

    def _day(self, end: str) -> datetime | None:
        said = self.used_parameters.get(f"{self.parameter_name}_{end}")
        if not said:
            return None
        try:
            day = parse_date(said)
        except ValueError:
            day = None
        if day is None:
            raise IncorrectLookupParameters(f"{said!r} is not a day like 2026-03-01")
        return make_aware(datetime(day.year, day.month, day.day))  # noqa: DTZ001 - made aware here


class ListAdmin(ModelAdmin):  # type: ignore[misc]
    """A model whose list may have millions of rows.

    It is never counted and only ordered as the admin says, for which there is an index: anything else would read
    millions of rows to show fifty. ``saved`` are filters that staff come for often: (words, query string) each.
    ``exported`` are the columns that a file of the list has after those of the table: names in the place of ids.
    ``when_empty`` says how the first row comes about.
    """

    sortable_by: Any = ()
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    list_filter_submit = True
    list_before_template = "admin/console/list_before.html"
    paginator = NoCountPaginator
    saved: Sequence[tuple[str, str]] = ()
    exported: Mapping[str, Callable[[Any], Any]] = {}
    when_empty = ""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(self.export_view)
        return [path("export/", export, name=self._export_name()), *super().get_urls()]

    def changelist_view(self, request: Any, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"saved": self.saved, **(extra_context or {})}
        if request.user.has_perm(EXPORT):
            chosen = request.GET.copy()
            chosen.pop(AFTER, None)
            context["export"] = f"{reverse(f'admin:{self._export_name()}')}?{chosen.urlencode()}"
        shown: HttpResponse = super().changelist_view(request, context)
        return shown

    def export_view(self, request: Any) -> HttpResponse | StreamingHttpResponse:
        """Answer with every row of the filtered list, read and sent a part at a time."""
        if not (self.has_view_permission(request) and request.user.has_perm(EXPORT)):
            raise PermissionDenied
        try:
            chosen = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return HttpResponseRedirect("../?e=1")
        name = self.opts.model_name
        logger.info("exported", list=name, actor=str(request.user.pk), filters=sorted(request.GET))
        return StreamingHttpResponse(
            csv_of(chosen, self.exported),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}.csv"', "X-Accel-Buffering": "no"},
        )

    def _export_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_export"


class _Line:
    """A file for ``csv.writer`` that hands each line back."""

    def write(self, text: str) -> str:
        return text


def csv_of(queryset: QuerySet[Any], exported: Mapping[str, Callable[[Any], Any]]) -> Iterator[str]:
    """Yield the rows as lines of CSV, the names of the columns first: every column of the table, then ``exported``."""
    fields = [field.attname for field in queryset.model._meta.concrete_fields if field.name != "password"]  # noqa: SLF001
    lines = csv.writer(_Line())
    yield lines.writerow([*fields, *exported])
    last: Model | None = None
    while True:
        rows = list(after_key(queryset, last)[:_CHUNK])
        for row in rows:
            own = (getattr(row, name) for name in fields)
            yield lines.writerow([cell(value) for value in (*own, *(told(row) for told in exported.values()))])
        if len(rows) < _CHUNK:
            return
        last = rows[-1]


def cell(value: Any) -> Any:
    """Return a value as CSV carries it. Text that a spreadsheet would run as a formula is made to begin with a quote.

    >>> cell("=HYPERLINK(A1)")
    "'=HYPERLINK(A1)"
    >>> cell(-40)
    -40
    """
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)  # begins with a bracket, and is no formula
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return value
