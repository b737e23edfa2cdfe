"""Attempts to spend that were refused: counted beside the ledger, told in words."""

from typing import Any

from django.contrib import admin

from credits.admin.owners import OwnedAdmin
from credits.admin.read_only import NOTHING, credits_said, instant, link
from credits.models import RefusedAttempt

_WORDS = {
    "insufficient_credits": "Not enough credits",
    "spending_limit_reached": "A limit was reached",
    "spending_suspended": "Spending was suspended",
}
_NUMBERS = ("required", "available", "held", "limit", "used")


def words_of(attempt: RefusedAttempt) -> str:
    """Return why spending was refused."""
    return _WORDS.get(attempt.code, attempt.code)


def numbers_of(attempt: RefusedAttempt) -> str:
    """Return the numbers that led to the last refusal, as far as they are credits."""
    told = (f"{value:,} {name}" for name, value in attempt.facts.items() if value and name in _NUMBERS)
    return ", ".join(told)


@admin.register(RefusedAttempt)
class RefusedAttemptAdmin(OwnedAdmin):
    list_display = ["last", "owner", "why", "tried", "numbers", "times", "who"]
    last = instant("last_at", "last at")
    hour_of = instant("hour", "hour")
    list_filter = ["code"]
    list_select_related = ["balance__user", "balance__organization", "actor", "member"]
    saved = [
        ("Not enough credits", "code=insufficient_credits"),
        ("A limit was reached", "code=spending_limit_reached"),
        ("Suspended", "code=spending_suspended"),
    ]
    fields = ["owner", ("why", "tried"), "numbers", ("times", "who"), ("hour_of", "last"), "facts"]

    @admin.display(description="reason")
    def why(self, row: RefusedAttempt) -> str:
        return words_of(row)

    @admin.display(description="of the last attempt")
    def numbers(self, row: RefusedAttempt) -> str:
        return numbers_of(row) or NOTHING

    @admin.display(description="for")
    def tried(self, row: RefusedAttempt) -> str:
        return link("credits.feature", row.feature, row.feature) if row.feature else "An amount"

    @admin.display(description="times")
    def times(self, row: RefusedAttempt) -> str:
        return credits_said(row.count)

    @admin.display(description="last by")
    def who(self, row: RefusedAttempt) -> Any:
        return row.member or row.actor or NOTHING
