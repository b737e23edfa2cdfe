"""The dashboard snapshot: figures over all balances, computed by ``refresh_dashboard`` and read from one row."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Min

from credits.admin.owners import owner_name
from credits.models import CreditBalance
from fluxori.console.links import change_url
from fluxori.console.models import DashboardSnapshot
from tiers import queries as tier_queries
from tiers.models import Subscription, Tier

RUNNING_OUT_DAYS = 7
MAX_RUNNING_OUT = 25
# The monthly allocation runs every five minutes; an allocation counts as late after this time.
LATE_AFTER = timedelta(minutes=15)

_RUNNING_OUT = (Path(__file__).parent / "sql" / "running_out.sql").read_text(encoding="utf-8")


def refresh_snapshot(*, at: datetime) -> DashboardSnapshot:
    """Compute the snapshot and store it. It is safe to repeat, and to run twice at the same time.

    It reads every subscription and the roll-ups of thirty days, which takes seconds for millions of them.
    """
    held = Subscription.objects.filter(status="active").annotate(held_tier=tier_queries.held_tier(at))
    by_tier = dict(held.exclude(held_tier=None).order_by().values_list("held_tier").annotate(Count("pk")))
    late = tier_queries.due(at=at - LATE_AFTER).order_by().aggregate(count=Count("pk"), since=Min("next_allocation_at"))
    snapshot, _ = DashboardSnapshot.objects.update_or_create(
        pk=1,
        defaults={
            "taken_at": at,
            "tiers": {
                "by_tier": [[tier.code, tier.name, by_tier.get(tier.code, 0)] for tier in Tier.objects.all()],
                "none": CreditBalance.objects.count() - sum(by_tier.values()),
            },
            "running_out": _running_out(at),
            "late": {"count": late["count"], "since": late["since"] and late["since"].isoformat()},
        },
    )
    return snapshot


def _running_out(at: datetime) -> list[dict[str, Any]]:
    today = at.astimezone(UTC).date()
    with connection.cursor() as cursor:
        cursor.execute(_RUNNING_OUT, {"today": today, "days": RUNNING_OUT_DAYS, "limit": MAX_RUNNING_OUT})
        rows = cursor.fetchall()
    return [
        {"id": str(key), "available": available, "per_day": float(per_day), "days_left": float(left)}
        for key, available, per_day, left in rows
    ]


@dataclass(frozen=True, slots=True)
class RunningOutRow:
    """A balance that will soon be empty, and the time of its next monthly allocation."""

    name: str
    url: str
    available: int
    per_day: float
    days_left: float
    next_allocation_at: datetime | None


@dataclass(frozen=True, slots=True)
class SnapshotView:
    """The snapshot with the names and addresses that the page shows.

    ``tiers`` are (code, name, count, percentage of the largest count); ``none`` counts balances without a tier.
    """

    taken_at: datetime
    tiers: list[tuple[str, str, int, int]]
    none: int
    running_out: list[RunningOutRow]
    late: int
    late_since: datetime | None


def latest_snapshot() -> SnapshotView | None:
    """Return the stored snapshot, or None if there is none yet."""
    snapshot = DashboardSnapshot.objects.first()
    if snapshot is None:
        return None
    ids = [UUID(row["id"]) for row in snapshot.running_out]
    balances = CreditBalance.objects.select_related("user", "organization").in_bulk(ids)
    facts = tier_queries.tier_facts_of(ids)
    largest = max([count for _, _, count in snapshot.tiers["by_tier"]], default=0) or 1
    since = snapshot.late["since"]
    return SnapshotView(
        taken_at=snapshot.taken_at,
        tiers=[(code, name, count, 100 * count // largest) for code, name, count in snapshot.tiers["by_tier"]],
        none=snapshot.tiers["none"],
        running_out=[
            RunningOutRow(
                owner_name(balance),
                change_url("credits_creditbalance", key),
                row["available"],
                row["per_day"],
                row["days_left"],
                facts[key].next_allocation_at if key in facts else None,
            )
            for key, row in zip(ids, snapshot.running_out, strict=True)
            if (balance := balances.get(key)) is not None
        ],
        late=snapshot.late["count"],
        late_since=datetime.fromisoformat(since) if since else None,
    )
