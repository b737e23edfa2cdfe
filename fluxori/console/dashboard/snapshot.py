"""How all balances stand: looked at by ``refresh_dashboard`` now and then, and shown from one row."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Min

from credits.admin.owners import name_of
from credits.models import CreditBalance
from fluxori.console.links import page
from fluxori.console.models import DashboardSnapshot
from tiers import queries as tiers
from tiers.models import Subscription, Tier

SOON_DAYS = 7
SHOWN = 25
GRACE = timedelta(minutes=15)  # the monthly run comes every five

_RUNNING_OUT = (Path(__file__).parent / "sql" / "running_out.sql").read_text(encoding="utf-8")


def take_standing(*, at: datetime) -> DashboardSnapshot:
    """Look at all balances and subscriptions, and keep what the first page says of them. Safe to repeat, at once too.

    It reads every subscription and the roll-ups of thirty days, which takes seconds where there are millions.
    """
    counted = Subscription.objects.filter(status="active").order_by().values_list("tier").annotate(Count("pk"))
    by_tier = dict(counted)
    late = tiers.due(at=at - GRACE).order_by().aggregate(count=Count("pk"), since=Min("next_allocation_at"))
    taken, _ = DashboardSnapshot.objects.update_or_create(
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
    return taken


def _running_out(at: datetime) -> list[dict[str, Any]]:
    today = at.astimezone(UTC).date()
    with connection.cursor() as cursor:
        cursor.execute(_RUNNING_OUT, {"today": today, "days": SOON_DAYS, "limit": SHOWN})
        found = cursor.fetchall()
    return [
        {"id": str(key), "available": available, "a_day": float(a_day), "days_left": float(left)}
        for key, available, a_day, left in found
    ]


@dataclass(frozen=True, slots=True)
class RunningOut:
    """A balance that will be empty soon, and when it is next given credits."""

    name: str
    url: str
    available: int
    a_day: float
    days_left: float
    next_allocation_at: datetime | None


@dataclass(frozen=True, slots=True)
class Shown:
    """The standing, ready for the page."""

    taken_at: datetime
    tiers: list[tuple[str, str, int, int]]
    none: int
    running_out: list[RunningOut]
    late: int
    late_since: datetime | None


def latest() -> Shown | None:
    """Return the standing as it was last taken, or None where it never was."""
    taken = DashboardSnapshot.objects.first()
    if taken is None:
        return None
    ids = [UUID(row["id"]) for row in taken.running_out]
    balances = CreditBalance.objects.select_related("user", "organization").in_bulk(ids)
    next_at = dict(Subscription.objects.filter(pk__in=ids, status="active").values_list("pk", "next_allocation_at"))
    most = max([count for _, _, count in taken.tiers["by_tier"]], default=0) or 1
    since = taken.late["since"]
    return Shown(
        taken_at=taken.taken_at,
        tiers=[(code, name, count, 100 * count // most) for code, name, count in taken.tiers["by_tier"]],
        none=taken.tiers["none"],
        running_out=[
            RunningOut(
                name_of(balance),
                page("credits_creditbalance", key),
                row["available"],
                row["a_day"],
                row["days_left"],
                next_at.get(key),
            )
            for key, row in zip(ids, taken.running_out, strict=True)
            if (balance := balances.get(key)) is not None
        ],
        late=taken.late["count"],
        late_since=datetime.fromisoformat(since) if since else None,
    )
