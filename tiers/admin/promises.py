"""Subscriptions, what was allocated to them, and by which run: read-only, but for allocating a month by hand."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path

from credits.admin.owners import OwnedAdmin
from credits.admin.read_only import ReadOnlyAdmin, link_to, listing
from tiers.admin.acts import AllocateMonth
from tiers.models import AllocationRun, MonthlyAllocation, Subscription


@admin.register(Subscription)
class SubscriptionAdmin(OwnedAdmin):
    list_display = ["owner", "tier", "status", "anchor", "next_allocation_at", "scheduled_tier", "scheduled_at"]
    list_display_links = ["anchor"]
    list_filter = ["tier", "status"]
    list_select_related = ["balance__user", "balance__organization", "tier", "scheduled_tier"]
    change_form_template = "admin/tiers/subscription/change_form.html"
    fields = [
        "owner",
        ("tier", "status"),
        ("anchor", "next_period", "next_allocation_at"),
        ("scheduled_tier", "scheduled_at"),
        "created_at",
        "allocated",
    ]

    def get_urls(self) -> list[URLPattern]:
        act = self.admin_site.admin_view(AllocateMonth.as_view(model_admin=self))
        return [path("<uuid:key>/allocate/", act, name="tiers_subscription_allocate"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        may = {"may_allocate": request.user.has_perm(AllocateMonth.permission)}
        return super().change_view(request, object_id, form_url, {**may, **(extra_context or {})})

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
