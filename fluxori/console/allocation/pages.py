"""Runs of the monthly allocation: what was due, what came of it, what would be now, and the refused tried again."""

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

from credits.admin.owners import name_of
from credits.models import CreditBalance
from fluxori.console.account.detail_pages import SeenWhole
from fluxori.console.links import page, rows
from fluxori.core import clock
from tiers import operations, queries
from tiers.admin.subscriptions import AllocationRunAdmin
from tiers.models import AllocationRun, Tier

COUNTED = 5_000  # subscriptions that a dry run in the browser looks at one by one
MAY_RERUN = "console.allocate_month"
_CODES = {"busy": "Somebody was writing to it at the same moment"}


@dataclass(frozen=True, slots=True)
class TierDue:
    """What is due under one tier: how many subscriptions, and what they would be given."""

    name: str
    subscriptions: int
    months: int
    skipped: int
    credits: int


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run at this instant would do; beyond ``COUNTED`` subscriptions only how many there are is known."""

    at: datetime
    tiers: list[TierDue]
    due: int
    counted: int


def dry_run(*, at: datetime) -> DryRun:
    """Return what the monthly run would give at ``at``, and give nothing."""
    by_tier = queries.due_by_tier(at=at)
    looked_at = list(islice(queries.due(at=at).iterator(chunk_size=COUNTED), COUNTED)) if by_tier else []
    totals = operations.count_due(subscriptions=looked_at, at=at)
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
        len(looked_at),
    )


class RunAdmin(SeenWhole, AllocationRunAdmin):
    page_template = "admin/console/run.html"
    change_list_template = "admin/console/runs.html"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("dry-run/", wrap(self.dry_run_view), name="tiers_allocationrun_dry_run"),
            path("<uuid:key>/again/", wrap(self.again_view), name="tiers_allocationrun_again"),
            *super().get_urls(),
        ]

    def facts(self, request: HttpRequest, row: AllocationRun) -> dict[str, Any]:
        at = clock.now()
        ids = [UUID(balance) for balance, _ in row.refusals]
        balances = CreditBalance.objects.select_related("user", "organization").in_bulk(ids)
        interrupted = row.interrupted(at)
        return {
            "title": "Run of the monthly allocation",
            "run": row,
            "standing": "Interrupted" if interrupted else row.get_status_display(),
            "interrupted": interrupted,
            "refusals": [
                (
                    name_of(balances[key]) if key in balances else str(key),
                    page("credits_creditbalance", key),
                    _said(code),
                )
                for key, (_, code) in zip(ids, row.refusals, strict=True)
            ],
            "more_refused": row.refused - len(row.refusals),
            "given": rows("tiers_monthlyallocation", run=row.pk),
            "again": reverse("admin:tiers_allocationrun_again", args=[row.pk])
            if row.refusals and request.user.has_perm(MAY_RERUN)
            else None,
        }

    def dry_run_view(self, request: HttpRequest) -> HttpResponse:
        """Show what the run would give now. It only looks, so that whoever sees runs may ask."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = dry_run(at=clock.now())
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Dry run", "found": found}
        return TemplateResponse(request, "admin/console/dry_run.html", context)

    def again_view(self, request: Any, key: UUID) -> HttpResponse:
        """Try the refused ones of a run again, as a run of its own."""
        if request.method != "POST" or not (self.has_view_permission(request) and request.user.has_perm(MAY_RERUN)):
            raise PermissionDenied
        refused = get_object_or_404(AllocationRun, pk=key)
        again = operations.rerun_refused(run=refused, started_by=str(request.user), at=clock.now())
        self.log_change(request, again, f"Tried again what the run of {refused.started_at:%Y-%m-%d %H:%M} refused.")
        said = f"Tried {again.due:,} again: {again.allocated:,} months allocated, {again.refused:,} refused."
        (messages.warning if again.refused else messages.success)(request, said)
        return HttpResponseRedirect(page("tiers_allocationrun", again.pk))


def _said(code: str) -> str:
    return _CODES.get(code, code)
