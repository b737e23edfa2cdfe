"""Read-only admin pages of subscriptions, monthly allocations and allocation runs."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe

from credits.admin.owners import OwnedAdmin
from fluxori.adminkit.columns import credits_column, timestamp_column
from fluxori.adminkit.formatting import changelist_link_html, object_link_html, timestamp_html
from fluxori.adminkit.read_only import ReadOnlyAdmin
from fluxori.core import clock
from fluxori.identity.models import User
from tiers import queries
from tiers.domain.subscription_timeline import apply_scheduled_change
from tiers.models import AllocationRun, MonthlyAllocation, Subscription, Tier, TierChange

INTERRUPTED = "interrupted"
_MAX_ENTRIES = 50


class HeldTierFilter(admin.SimpleListFilter):
    """A filter by the tier that a subscription holds at the time of the request: scheduled changes need no job."""

    title = "tier"
    parameter_name = "tier__code__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(tier.code, str(tier)) for tier in Tier.objects.all()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> QuerySet[Subscription]:
        if not self.value():
            return queryset
        return queryset.alias(held_tier=queries.held_tier(clock.now())).filter(held_tier=self.value())


class RunStatusFilter(admin.SimpleListFilter):
    """A filter by the status of a run. A run that no longer reports its progress is interrupted, not running."""

    title = "status"
    parameter_name = "status__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*AllocationRun.Status.choices, (INTERRUPTED, "Interrupted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AllocationRun]) -> QuerySet[AllocationRun]:
        running = Q(status=AllocationRun.Status.RUNNING)
        silent = Q(seen_at__lt=clock.now() - AllocationRun.HEARTBEAT_TIMEOUT)
        if self.value() == INTERRUPTED:
            return queryset.filter(running & silent)
        if self.value() == AllocationRun.Status.RUNNING:
            return queryset.filter(running & ~silent)
        return queryset.filter(status=self.value()) if self.value() else queryset


@admin.register(Subscription)
class SubscriptionAdmin(OwnedAdmin):
    list_display = ["owner", "tier", "status", "anchor_time", "next_allocation", "scheduled_tier", "scheduled_time"]
    list_display_links = ["anchor_time"]
    empty_message = "Subscriptions appear here when a balance is initialized with a tier."
    anchor_time = timestamp_column("anchor", "anchor")
    next_allocation = timestamp_column("next_allocation_at", "next allocation")
    scheduled_time = timestamp_column("scheduled_at", "scheduled for")
    list_filter = [HeldTierFilter, "status"]
    list_select_related = ["balance__user", "balance__organization", "tier", "scheduled_tier"]
    fields = [
        "owner",
        ("tier", "status"),
        ("anchor", "first_period", "next_period", "next_allocation_at"),
        ("scheduled_tier", "scheduled_at"),
        ("paused_at", "ended_at"),
        "created_at",
        "allocated",
        "history",
    ]

    def prepare_rows(self, rows: Sequence[Subscription]) -> None:
        at = clock.now()
        for row in rows:
            apply_scheduled_change(row, at)

    @admin.display(description="allocations")
    def allocated(self, row: Subscription) -> str:
        return changelist_link_html("tiers_monthlyallocation", "Allocations of this subscription", balance=row.pk)

    @admin.display(description="history")
    def history(self, row: Subscription) -> str:
        """List the changes of tier, the pauses, the ends and the later starts, the last one first."""
        entries = TierChange.objects.filter(balance=row.pk)[:_MAX_ENTRIES]
        actors = User.objects.in_bulk([entry.actor_id for entry in entries if entry.actor_id])
        return format_html_join(
            mark_safe("<br>"), "{} {}: {} → {}{}{}", [_history_columns(entry, actors) for entry in entries]
        )


def _history_columns(entry: TierChange, actors: dict[UUID, User]) -> tuple[str, ...]:
    actor = actors.get(entry.actor_id) if entry.actor_id else None
    return (
        timestamp_html(entry.at),
        entry.get_kind_display().lower(),
        entry.from_tier_id or "none",
        entry.to_tier_id or "none",
        f", by {actor}" if actor else "",
        f", {entry.reason}" if entry.reason else "",
    )


@admin.register(MonthlyAllocation)
class MonthlyAllocationAdmin(OwnedAdmin):
    link_filters = ("balance", "run")
    list_display = ["period", "owner", "tier", "granted", "skipped", "starts", "ends", "allocated", "transaction_link"]
    granted = credits_column("credits")
    empty_message = "Monthly allocations appear here when the scheduled run grants them."
    starts = timestamp_column("starts_at")
    ends = timestamp_column("ends_at")
    allocated = timestamp_column("allocated_at")
    list_filter = ["tier", "skipped"]
    list_select_related = ["balance__user", "balance__organization", "tier", "transaction"]
    fields = [
        "id",
        "owner",
        ("period", "tier", "credits", "skipped"),
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
        "rejected_count",
        "granted",
    ]
    due_count = credits_column("due")
    processed = credits_column("subscriptions")
    allocated_count = credits_column("allocated")
    rejected_count = credits_column("rejected")
    granted = credits_column("credits")
    empty_message = "The worker starts a run every five minutes. A dry run shows what it would grant now."
    list_filter = [RunStatusFilter]
    export_columns = {"status": lambda row: INTERRUPTED if row.interrupted(clock.now()) else row.status}
    list_select_related = ["tier"]
    search_fields = ["started_by"]
    search_help_text = "Started by"
    started = timestamp_column("started_at", "started")

    @admin.display(description="status")
    def state(self, row: AllocationRun) -> str:
        return "Interrupted" if row.interrupted(clock.now()) else row.get_status_display()
