"""The pages of allocation runs: the result of a run, a dry run, and a retry of rejected subscriptions."""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from credits.admin.owners import owner_name
from credits.models import CreditBalance
from fluxori.console.account.detail_pages import DetailPageMixin
from fluxori.console.allocation.operations import RETRY_RUNS, retry_run
from fluxori.console.errors import StaffPermissionError
from fluxori.console.links import change_url, changelist_url
from fluxori.core import clock
from tiers import operations, queries
from tiers.admin.subscriptions import AllocationRunAdmin
from tiers.models import AllocationRun, Tier

# A dry run in the browser computes at most this many subscriptions one by one.
MAX_COUNTED = 5_000
_REASONS = {"busy": "Another operation had locked the balance"}


@dataclass(frozen=True, slots=True)
class TierDue:
    """What is due on one tier: the subscriptions, their months and the credits that they would get."""

    name: str
    subscriptions: int
    months: int
    skipped: int
    credits: int


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run at ``at`` would allocate.

    Months and credits are those of the first ``counted`` of the ``due`` subscriptions, at most ``MAX_COUNTED``.
    """

    at: datetime
    tiers: list[TierDue]
    due: int
    counted: int


def dry_run(*, at: datetime) -> DryRun:
    """Return what the monthly allocation would give at ``at``. Nothing is written."""
    by_tier = queries.due_by_tier(at=at)
    subscriptions = list(islice(queries.due(at=at).iterator(chunk_size=MAX_COUNTED), MAX_COUNTED)) if by_tier else []
    totals = operations.count_due(subscriptions=subscriptions, at=at)
    names = dict(Tier.objects.values_list("code", "name"))
    codes = sorted({*by_tier, *totals.allocated, *totals.skipped})
    return DryRun(
        at,
        [
            TierDue(
                names[code], by_tier.get(code, 0), totals.allocated[code], totals.skipped[code], totals.credits[code]
            )
            for code in codes
        ],
        sum(by_tier.values()),
        len(subscriptions),
    )


class AllocationRunDetailAdmin(DetailPageMixin, AllocationRunAdmin):
    page_template = "admin/console/allocation_run.html"
    change_list_template = "admin/console/allocation_run_list.html"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("dry-run/", wrap(self.dry_run_view), name="tiers_allocationrun_dry_run"),
            path("<uuid:key>/retry/", wrap(self.retry_view), name="tiers_allocationrun_retry"),
            *super().get_urls(),
        ]

    def page_context(self, request: HttpRequest, row: AllocationRun) -> dict[str, Any]:
        ids = [UUID(balance) for balance, _ in row.rejections]
        balances = CreditBalance.objects.select_related("user", "organization").in_bulk(ids)
        interrupted = row.interrupted(clock.now())
        may_retry = bool(row.rejections) and request.user.has_perm(RETRY_RUNS)
        return {
            "title": "Run of the monthly allocation",
            "run": row,
            "status": "Interrupted" if interrupted else row.get_status_display(),
            "interrupted": interrupted,
            "rejected": [
                (
                    owner_name(balances[key]) if key in balances else str(key),
                    change_url("credits_creditbalance", key),
                    _REASONS.get(code, code),
                )
                for key, (_, code) in zip(ids, row.rejections, strict=True)
            ],
            "more_rejected": row.rejected - len(row.rejections),
            "allocations_url": changelist_url("tiers_monthlyallocation", run=row.pk),
            "retry_url": reverse("admin:tiers_allocationrun_retry", args=[row.pk]) if may_retry else None,
        }

    def dry_run_view(self, request: HttpRequest) -> HttpResponse:
        """Show what a run would give now. It only reads, so the permission to view runs is enough."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        result = dry_run(at=clock.now())
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Dry run", "result": result}
        return TemplateResponse(request, "admin/console/dry_run.html", context)

    def retry_view(self, request: Any, key: UUID) -> HttpResponse:
        """Retry the rejected subscriptions of a run, as a new run. The operation checks the permission."""
        if request.method != "POST" or not self.has_view_permission(request):
            raise PermissionDenied
        run = get_object_or_404(AllocationRun, pk=key)
        try:
            retry = retry_run(run=run, actor=request.user)
        except StaffPermissionError as error:
            raise PermissionDenied(error.detail) from error
        self.log_change(request, retry, f"Retried the rejected subscriptions of {run.started_at:%Y-%m-%d %H:%M}.")
        text = f"Retried {retry.due:,}: {retry.allocated:,} months allocated, {retry.rejected:,} rejected."
        (messages.warning if retry.rejected else messages.success)(request, text)
        return HttpResponseRedirect(change_url("tiers_allocationrun", retry.pk))
