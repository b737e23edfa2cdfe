"""The dashboard: credit movements, the margin, balances that run out, and pending approval requests.

It reads precomputed data only: the totals of ``aggregate_usage`` and the snapshot of ``refresh_dashboard``. It shows
how old both are, and costs the same with ten million transactions.
"""

from datetime import UTC, timedelta
from typing import Any

from django.http import HttpRequest

from credits.queries import usage
from fluxori.console.actions.catalogue import ACTIONS
from fluxori.console.dashboard.charts import DAY, spending_by_feature_chart
from fluxori.console.dashboard.figures import PERIODS, margin_rows, movement_rows, totals_within
from fluxori.console.dashboard.snapshot import latest_snapshot
from fluxori.console.links import change_url, changelist_url
from fluxori.console.queries import pending_requests
from fluxori.core import clock
from tiers.models import AllocationRun

CHART_DAYS = 30
MAX_REQUESTS = 8
STALE_AFTER = timedelta(minutes=30)


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the data of the dashboard to the context of the admin's index."""
    at = clock.now()
    today = at.astimezone(UTC).date()
    totals = usage.totals(from_=today - 59 * DAY, to=today + DAY)
    chart_start = today - (CHART_DAYS - 1) * DAY
    spent = [row for row in totals_within(totals.rows, chart_start, CHART_DAYS) if row.type == "usage"]
    can_see_value = request.user.has_perm("console.view_value")
    return {
        **context,
        "title": "Dashboard",
        "as_of": totals.as_of,
        "stale": totals.as_of is None or at - totals.as_of > STALE_AFTER,
        "periods": [name for name, _ in PERIODS],
        "movements": movement_rows(totals.rows, today),
        "margins": list(margin_rows(totals.rows, today)) if can_see_value else None,
        "by_feature": spending_by_feature_chart(spent, first=chart_start, days=CHART_DAYS),
        "snapshot": latest_snapshot(),
        "runs": _latest_runs(),
        "queue": _pending_requests() if request.user.has_perm("console.view_approvalrequest") else None,
        "lists": {
            "runs": changelist_url("tiers_allocationrun"),
            "cost": changelist_url("tiers_recoverycost"),
            "subscriptions": changelist_url("tiers_subscription"),
        },
    }


def _latest_runs() -> list[dict[str, Any]]:
    """Return the latest runs of the monthly allocation."""
    return [
        {"run": run, "url": change_url("tiers_allocationrun", run.pk)}
        for run in AllocationRun.objects.select_related("tier").order_by("-pk")[:5]
    ]


def _pending_requests() -> dict[str, Any]:
    """Return the oldest pending approval requests."""
    related = pending_requests().select_related("user", "organization", "requested_by")
    return {
        "rows": [
            (row, ACTIONS[row.action].title, change_url("console_approvalrequest", row.pk))
            for row in related[:MAX_REQUESTS]
        ],
        "url": changelist_url("console_approvalrequest", status__exact="pending"),
    }
