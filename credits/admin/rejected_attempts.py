"""Admin page of rejected attempts to spend, which are counted outside the ledger."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from credits.admin.owners import OwnedAdmin
from credits.models import RejectedAttempt
from fluxori.adminkit.changelist import DateRangeFilter
from fluxori.adminkit.columns import timestamp_column
from fluxori.adminkit.formatting import NOTHING, change_link_html, format_credits, name_html

_LABELS = {
    "insufficient_credits": "Not enough credits",
    "spending_limit_reached": "A limit was reached",
    "spending_suspended": "Spending was suspended",
}
_FACTS = ("required", "available", "held", "limit", "used")


def reason_label(attempt: RejectedAttempt) -> str:
    """Return the reason of the rejection as text."""
    return _LABELS.get(attempt.code, attempt.code)


def format_facts(attempt: RejectedAttempt) -> str:
    """Return the amounts that the last rejection is based on, in credits."""
    parts = (f"{value:,} {name}" for name, value in attempt.facts.items() if value and name in _FACTS)
    return ", ".join(parts)


class ReasonFilter(admin.SimpleListFilter):
    """A filter by reason. The choices are fixed, because reading the distinct values would scan the table."""

    title = "reason"
    parameter_name = "code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(_LABELS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[RejectedAttempt]) -> QuerySet[RejectedAttempt]:
        return queryset.filter(code=self.value()) if self.value() else queryset


@admin.register(RejectedAttempt)
class RejectedAttemptAdmin(OwnedAdmin):
    """The latest hour first. Lists and date filters use the hour, because ``last_at`` changes with every attempt."""

    ordering = ("-hour", "-pk")
    empty_message = "Rejected attempts to spend appear here, with the amounts of the last attempt."
    list_display = ["last", "owner", "reason_text", "feature_name", "amounts", "times", "last_user"]
    last = timestamp_column("last_at", "last at")
    hour_start = timestamp_column("hour", "hour")
    list_filter = [ReasonFilter, ("hour", DateRangeFilter)]
    list_select_related = ["balance__user", "balance__organization", "actor", "member"]
    saved_links = [
        ("Not enough credits", "code=insufficient_credits"),
        ("A limit was reached", "code=spending_limit_reached"),
        ("Suspended", "code=spending_suspended"),
    ]
    fields = [
        "owner",
        ("reason_text", "feature_name"),
        "amounts",
        ("times", "last_user"),
        ("hour_start", "last"),
        "facts",
    ]

    @admin.display(description="reason")
    def reason_text(self, row: RejectedAttempt) -> str:
        return reason_label(row)

    @admin.display(description="of the last attempt")
    def amounts(self, row: RejectedAttempt) -> str:
        return format_facts(row) or NOTHING

    @admin.display(description="for")
    def feature_name(self, row: RejectedAttempt) -> str:
        return change_link_html("credits.feature", row.feature, row.feature) if row.feature else "An amount"

    @admin.display(description="times")
    def times(self, row: RejectedAttempt) -> str:
        return format_credits(row.count)

    @admin.display(description="last by")
    def last_user(self, row: RejectedAttempt) -> Any:
        return name_html(row.member or row.actor or NOTHING)
