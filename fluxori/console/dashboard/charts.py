"""Stacked bar charts of usage by feature and day, as JSON for the chart component of Unfold (Chart.js, bundled)."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Sum
from django.db.models.functions import TruncDate

from credits.models import CreditBalance, CreditRollup, CreditTotal, CreditTransaction, Feature, UsageWatermark

DAY = timedelta(days=1)
ACCOUNT_DAYS = 90
# The colours differ in lightness as well as in hue, so they can be distinguished in both themes and without colour.
COLOURS = ("#7c3aed", "#0ea5e9", "#f59e0b", "#10b981", "#ef4444", "#64748b")
OTHERS = "Other"
BY_AMOUNT = "By amount"

# Credits used per day and feature. The feature None is usage by amount.
DailyUsage = Mapping[date, Mapping[str | None, int]]


def usage_by_day(balance: CreditBalance, *, at: datetime) -> DailyUsage:
    """Return the credits used on each of the last ninety UTC days, by feature.

    Usage up to the watermark comes from the roll-ups, later usage from the transactions.
    """
    first = (at.astimezone(UTC) - (ACCOUNT_DAYS - 1) * DAY).date()
    used: dict[date, dict[str | None, int]] = defaultdict(lambda: defaultdict(int))
    rollups = CreditRollup.objects.filter(balance=balance.pk, day__gte=first, type="usage")
    for day, feature, credits_out in rollups.values_list("day", "feature").annotate(Sum("credits_out")):
        used[day][feature] += credits_out
    watermark = UsageWatermark.objects.filter(pk=balance.pk).values_list("sequence", flat=True).first() or 0
    since = datetime.combine(first, time(), UTC)
    recent = CreditTransaction.objects.filter(
        balance=balance.pk, sequence__gt=watermark, type="usage", timestamp__gte=since
    ).annotate(day=TruncDate("timestamp", tzinfo=UTC))
    for day, feature, amount in recent.order_by().values_list("day", "feature").annotate(Sum("amount")):
        used[day][feature] -= amount
    return used


def usage_chart(used: DailyUsage, features: Mapping[str, Feature], *, at: datetime) -> dict[str, Any] | None:
    """Return the chart of the last ninety days for an account; None if nothing was used."""
    last = at.astimezone(UTC).date()
    return _chart(used, features, [last - n * DAY for n in range(ACCOUNT_DAYS - 1, -1, -1)])


def spending_by_feature_chart(spent: Iterable[CreditTotal], *, first: date, days: int) -> dict[str, Any] | None:
    """Return the chart of all balances for ``days`` days from ``first``; None if nothing was spent."""
    used: dict[date, dict[str | None, int]] = defaultdict(lambda: defaultdict(int))
    for row in spent:
        used[row.day][row.feature_id] += row.credits_out
    features = {feature.pk: feature for feature in Feature.objects.all()} if used else {}
    return _chart(used, features, [first + n * DAY for n in range(days)])


def _chart(used: DailyUsage, features: Mapping[str, Feature], days: Sequence[date]) -> dict[str, Any] | None:
    """Return the chart with the most used features first. Features beyond the last colour are combined."""
    totals: dict[str | None, int] = defaultdict(int)
    for by_feature in used.values():
        for feature, amount in by_feature.items():
            totals[feature] += amount
    if not totals:
        return None
    ordered = sorted(totals, key=lambda feature: -totals[feature])
    separate, combined = ordered[: len(COLOURS) - 1], ordered[len(COLOURS) - 1 :]
    groups = [(_feature_name(feature, features), [feature]) for feature in separate]
    if combined:
        groups.append((OTHERS, combined))
    series = [(name, [sum(used.get(day, {}).get(key, 0) for key in keys) for day in days]) for name, keys in groups]
    group_totals = [sum(totals[key] for key in keys) for _, keys in groups]
    return {
        "data": stacked_bars([f"{day:%-d %b}" for day in days], series),
        "options": STACKED_OPTIONS,
        "legend": [
            (name, total, colour) for (name, _), total, colour in zip(groups, group_totals, COLOURS, strict=False)
        ],
        "total": sum(group_totals),
    }


def _feature_name(code: str | None, features: Mapping[str, Feature]) -> str:
    return BY_AMOUNT if code is None else str(features.get(code, code))


def stacked_bars(labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]]) -> str:
    """Return the JSON of stacked bars, one dataset per series."""
    return json.dumps(
        {
            "labels": labels,
            "datasets": [
                {"label": name, "data": values, "backgroundColor": colour, "stack": "all", "borderRadius": 2}
                for (name, values), colour in zip(series, COLOURS, strict=False)
            ],
        }
    )


STACKED_OPTIONS = json.dumps(
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
