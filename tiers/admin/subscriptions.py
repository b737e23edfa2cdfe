"""Subscriptions, what was allocated to them, and by which run: read-only."""

from django.contrib import admin

from credits.admin.owners import OwnedAdmin
from fluxori.adminkit.columns import credits_column, timestamp_column
from fluxori.adminkit.formatting import changelist_link_html, object_link_html
from fluxori.adminkit.read_only import ReadOnlyAdmin
from fluxori.core import clock
from tiers.models import AllocationRun, MonthlyAllocation, Subscription


@admin.register(Subscription)
class SubscriptionAdmin(OwnedAdmin):
    list_display = ["owner", "tier", "status", "begun", "next_allocation", "scheduled_tier", "scheduled"]
    list_display_links = ["begun"]
    empty_message = "A balance that is initialized with a tier will stand here."
    begun = timestamp_column("anchor", "anchor")
    next_allocation = timestamp_column("next_allocation_at", "next allocation")
    scheduled = timestamp_column("scheduled_at", "scheduled for")
    list_filter = ["tier", "status"]
    list_select_related = ["balance__user", "balance__organization", "tier", "scheduled_tier"]
    fields = [
        "owner",
        ("tier", "status"),
        ("anchor", "next_period", "next_allocation_at"),
        ("scheduled_tier", "scheduled_at"),
        "created_at",
        "allocated",
    ]

    @admin.display(description="allocations")
    def allocated(self, row: Subscription) -> str:
        return changelist_link_html("tiers_monthlyallocation", "Its months", balance=row.pk)


@admin.register(MonthlyAllocation)
class MonthlyAllocationAdmin(OwnedAdmin):
    list_display = ["period", "owner", "tier", "given", "starts", "ends", "allocated", "granted_by"]
    given = credits_column("credits")
    empty_message = "The scheduler gives each month as it begins, and it will stand here."
    starts = timestamp_column("starts_at")
    ends = timestamp_column("ends_at")
    allocated = timestamp_column("allocated_at")
    list_filter = ["tier"]
    list_select_related = ["balance__user", "balance__organization", "tier", "transaction"]
    fields = [
        "id",
        "owner",
        ("period", "tier", "credits"),
        ("starts_at", "ends_at", "allocated_at"),
        "granted_by",
        "run",
    ]

    @admin.display(description="transaction")
    def granted_by(self, row: MonthlyAllocation) -> str:
        return object_link_html(row.transaction)


@admin.register(AllocationRun)
class AllocationRunAdmin(ReadOnlyAdmin):
    list_display = [
        "started",
        "standing",
        "started_by",
        "tier",
        "waiting",
        "looked_after",
        "done",
        "not_done",
        "given",
    ]
    waiting = credits_column("due")
    looked_after = credits_column("subscriptions")
    done = credits_column("allocated")
    not_done = credits_column("refused")
    given = credits_column("credits")
    empty_message = "The scheduler runs it every five minutes. A dry run says what it would give now."
    list_filter = ["status"]
    list_select_related = ["tier"]
    search_fields = ["started_by"]
    search_help_text = "Who or what started it"
    started = timestamp_column("started_at", "started")

    @admin.display(description="standing")
    def standing(self, row: AllocationRun) -> str:
        return "Interrupted" if row.interrupted(clock.now()) else row.get_status_display()
