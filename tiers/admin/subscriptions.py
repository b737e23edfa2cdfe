"""Read-only admin pages of subscriptions, monthly allocations and allocation runs."""

from django.contrib import admin

from credits.admin.owners import OwnedAdmin
from fluxori.adminkit.columns import credits_column, timestamp_column
from fluxori.adminkit.formatting import changelist_link_html, object_link_html
from fluxori.adminkit.read_only import ReadOnlyAdmin
from fluxori.core import clock
from tiers.models import AllocationRun, MonthlyAllocation, Subscription


@admin.register(Subscription)
class SubscriptionAdmin(OwnedAdmin):
    list_display = ["owner", "tier", "status", "anchor_time", "next_allocation", "scheduled_tier", "scheduled_time"]
    list_display_links = ["anchor_time"]
    empty_message = "Subscriptions appear here when a balance is initialized with a tier."
    anchor_time = timestamp_column("anchor", "anchor")
    next_allocation = timestamp_column("next_allocation_at", "next allocation")
    scheduled_time = timestamp_column("scheduled_at", "scheduled for")
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
        return changelist_link_html("tiers_monthlyallocation", "Allocations of this subscription", balance=row.pk)


@admin.register(MonthlyAllocation)
class MonthlyAllocationAdmin(OwnedAdmin):
    link_filters = ("balance", "run")
    list_display = ["period", "owner", "tier", "granted", "starts", "ends", "allocated", "transaction_link"]
    granted = credits_column("credits")
    empty_message = "Monthly allocations appear here when the scheduled run grants them."
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
        "transaction_link",
        "run",
    ]

    @admin.display(description="transaction")
    def transaction_link(self, row: MonthlyAllocation) -> str:
        return object_link_html(row.transaction)


@admin.register(AllocationRun)
class AllocationRunAdmin(ReadOnlyAdmin):
    list_display = [
        "started",
        "state",
        "started_by",
        "tier",
        "due_count",
        "processed",
        "allocated_count",
        "refused_count",
        "granted",
    ]
    due_count = credits_column("due")
    processed = credits_column("subscriptions")
    allocated_count = credits_column("allocated")
    refused_count = credits_column("refused")
    granted = credits_column("credits")
    empty_message = "The scheduler starts a run every five minutes. A dry run shows what it would grant now."
    list_filter = ["status"]
    list_select_related = ["tier"]
    search_fields = ["started_by"]
    search_help_text = "Started by"
    started = timestamp_column("started_at", "started")

    @admin.display(description="status")
    def state(self, row: AllocationRun) -> str:
        return "Interrupted" if row.interrupted(clock.now()) else row.get_status_display()
