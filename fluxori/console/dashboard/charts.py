"""Numbers over time, as the charts of Unfold draw them; they are bundled with it, nothing is fetched from elsewhere."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Sum
from django.db.models.functions import TruncDate

from credits.models import CreditBalance, CreditRollup, CreditTransaction, Feature, UsageWatermark

DAY = timedelta(days=1)
DAYS = 90
# Apart in lightness as in hue, so that they can be told in either scheme and without colour.
COLOURS = ("#7c3aed", "#0ea5e9", "#f59e0b", "#10b981", "#ef4444", "#64748b")
OTHERS = "Other"
BY_AMOUNT = "By amount"


def usage_by_day(balance: CreditBalance, *, at: datetime) -> dict[date, dict[str | None, int]]:
    """Return the whole credits used on each of the last ninety days, in UTC, by feature: folded or not."""
    first = (at.astimezone(UTC) - (DAYS - 1) * DAY).date()
    used: dict[date, dict[str | None, int]] = defaultdict(lambda: defaultdict(int))
    folded = CreditRollup.objects.filter(balance=balance.pk, day__gte=first, type="usage")
    for day, feature, credits_out in folded.values_list("day", "feature").annotate(Sum("credits_out")):
        used[day][feature] += credits_out
    mark = UsageWatermark.objects.filter(pk=balance.pk).values_list("sequence", flat=True).first() or 0
    since = datetime.combine(first, time(), UTC)
    fresh = CreditTransaction.objects.filter(
        balance=balance.pk, sequence__gt=mark, type="usage", timestamp__gte=since
    ).annotate(day=TruncDate("timestamp", tzinfo=UTC))
    for day, feature, amount in fresh.order_by().values_list("day", "feature").annotate(Sum("amount")):
        used[day][feature] -= amount
    return used


def usage_chart(
    used: Mapping[date, Mapping[str | None, int]], names: Mapping[str, Feature], *, at: datetime
) -> dict[str, Any] | None:
    """Return the chart of ninety days by feature, the most used at the bottom; None where nothing was used."""
    totals: dict[str | None, int] = defaultdict(int)
    for shares in used.values():
        for feature, amount in shares.items():
            totals[feature] += amount
    if not totals:
        return None
    last = at.astimezone(UTC).date()
    days = [last - n * DAY for n in range(DAYS - 1, -1, -1)]
    ordered = sorted(totals, key=lambda feature: -totals[feature])
    apart, together = ordered[: len(COLOURS) - 1], ordered[len(COLOURS) - 1 :]
    series = [
        (str(names.get(feature or "", BY_AMOUNT if feature is None else feature)), [feature], totals[feature])
        for feature in apart
    ]
    if together:
        series.append((OTHERS, together, sum(totals[feature] for feature in together)))
    return {
        "data": bars(
            [f"{day:%-d %b}" for day in days],
            [(name, [sum(used.get(day, {}).get(key, 0) for key in keys) for day in days]) for name, keys, _ in series],
        ),
        "options": STACKED,
        "legend": [(name, total, colour) for (name, _, total), colour in zip(series, COLOURS, strict=False)],
        "total": sum(totals.values()),
    }


def bars(labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]]) -> str:
    """Return bars, one series upon the other, as the chart component reads them."""
    return json.dumps(
        {
            "labels": labels,
            "datasets": [
                {"label": name, "data": values, "backgroundColor": colour, "stack": "all", "borderRadius": 2}
                for (name, values), colour in zip(series, COLOURS, strict=False)
            ],
        }
    )


STACKED = json.dumps(
    {
        "animation": False,
        "maintainAspectRatio": False,
        "plugins": {"legend": {"display": False}, "tooltip": {"mode": "index"}},
        "scales": {
            "x": {
                "stacked": True,
                "grid": {"display": False},
                "ticks": {"color": "#8b8fa3", "maxTicksLimit": 10, "maxRotation": 0},
            },
            "y": {
                "stacked": True,
                "beginAtZero": True,
                "border": {"display": False},
                "grid": {"color": "rgba(140, 140, 160, 0.18)"},
                "ticks": {"color": "#8b8fa3", "precision": 0, "maxTicksLimit": 6},
            },
        },
    }
)
