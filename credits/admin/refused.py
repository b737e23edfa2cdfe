"""Attempts to spend that were refused: counted beside the ledger, told in words."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from credits.admin.owners import OwnedAdmin
from credits.models import RejectedAttempt
from fluxori.adminkit.changelist import DateRangeFilter
from fluxori.adminkit.columns import timestamp_column
from fluxori.adminkit.formatting import NOTHING, change_link_html, format_credits, name_html

_WORDS = {
    "insufficient_credits": "Not enough credits",
    "spending_limit_reached": "A limit was reached",
    "spending_suspended": "Spending was suspended",
}
_NUMBERS = ("required", "available", "held", "limit", "used")


def words_of(attempt: RejectedAttempt) -> str:
    """Return why spending was refused."""
    return _WORDS.get(attempt.code, attempt.code)


def numbers_of(attempt: RejectedAttempt) -> str:
    """Return the numbers that led to the last refusal, as far as they are credits."""
    told = (f"{value:,} {name}" for name, value in attempt.facts.items() if value and name in _NUMBERS)
    return ", ".join(told)


class WhyFilter(admin.SimpleListFilter):
    """One reason. They are known, where looking up which there are would read every row."""

    title = "reason"
    parameter_name = "code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(_WORDS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[RejectedAttempt]) -> QuerySet[RejectedAttempt]:
        return queryset.filter(code=self.value()) if self.value() else queryset


@admin.register(RejectedAttempt)
class RefusedAttemptAdmin(OwnedAdmin):
    """Newest hour first, by which a date counts too: it stays, where the last attempt of an hour moves."""

    ordering = ("-hour", "-pk")
    empty_message = "An attempt to spend that is refused will be counted here, with the numbers that led to it."
    list_display = ["last", "owner", "why", "tried", "numbers", "times", "who"]
    last = timestamp_column("last_at", "last at")
    hour_of = timestamp_column("hour", "hour")
    list_filter = [WhyFilter, ("hour", DateRangeFilter)]
    list_select_related = ["balance__user", "balance__organization", "actor", "member"]
    saved_links = [
        ("Not enough credits", "code=insufficient_credits"),
        ("A limit was reached", "code=spending_limit_reached"),
        ("Suspended", "code=spending_suspended"),
    ]
    fields = ["owner", ("why", "tried"), "numbers", ("times", "who"), ("hour_of", "last"), "facts"]

    @admin.display(description="reason")
    def why(self, row: RejectedAttempt) -> str:
        return words_of(row)

    @admin.display(description="of the last attempt")
    def numbers(self, row: RejectedAttempt) -> str:
        return numbers_of(row) or NOTHING

    @admin.display(description="for")
    def tried(self, row: RejectedAttempt) -> str:
        return change_link_html("credits.feature", row.feature, row.feature) if row.feature else "An amount"

    @admin.display(description="times")
    def times(self, row: RejectedAttempt) -> str:
        return format_credits(row.count)

    @admin.display(description="last by")
    def who(self, row: RejectedAttempt) -> Any:
        return name_html(row.member or row.actor or NOTHING)
