"""Subscriptions, what was allocated to them, and by which run: read-only."""

from django.contrib import admin

from credits.admin.owners import OwnedAdmin
from credits.admin.read_only import ReadOnlyAdmin, link_to, listing
from tiers.models import AllocationRun, MonthlyAllocation, Subscription


@admin.register(Subscription)
class SubscriptionAdmin(OwnedAdmin):
    list_display = ["owner", "tier", "status", "anchor", "next_allocation_at", "scheduled_tier", "scheduled_at"]
    list_display_links = ["anchor"]
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
        return listing("tiers_monthlyallocation", "Its months", balance=row.pk)


@admin.register(MonthlyAllocation)
class MonthlyAllocationAdmin(OwnedAdmin):
    list_display = ["period", "owner", "tier", "credits", "starts_at", "ends_at", "allocated_at", "granted_by"]
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
        return link_to(row.transaction)


@admin.register(AllocationRun)
class AllocationRunAdmin(ReadOnlyAdmin):
    list_display = [
        "started_at",
        "finished_at",
        "at",
        "tier",
        "started_by",
        "status",
        "allocated",
        "refused",
        "credits",
    ]
    list_filter = ["status"]
    list_select_related = ["tier"]
    search_fields = ["started_by"]
    fields = [
        "id",
        ("started_at", "finished_at", "at"),
        ("tier", "started_by", "status"),
        ("allocated", "skipped", "refused", "credits"),
        "refusals",
        "given",
    ]

    @admin.display(description="allocations")
    def given(self, row: AllocationRun) -> str:
        return listing("tiers_monthlyallocation", "What it gave", run=row.pk)
