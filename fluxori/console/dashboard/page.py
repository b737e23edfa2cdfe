"""The first page: how the credits move, what they bring, who will run out, and what waits for somebody.

Everything is read from what was added up before: the totals of ``aggregate_usage`` and the standing of
``refresh_dashboard``. It costs the same with ten million transactions, and says as of when it is.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any

from django.http import HttpRequest

from credits.models import CreditTotal, Feature
from credits.queries import usage
from fluxori.console.actions.catalogue import ACTS
from fluxori.console.dashboard.charts import COLOURS, DAY, STACKED, bars
from fluxori.console.dashboard.snapshot import latest
from fluxori.console.links import page, rows
from fluxori.console.queries import pending_requests
from fluxori.core import clock
from tiers.models import AllocationRun, RecoveryCost

PERIODS = (("Today", 1), ("7 days", 7), ("30 days", 30))
FEATURES = 6
QUEUE = 8
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Figure:
    """Whole credits in a period and in the one of the same length before it."""

    now: int
    before: int

    @property
    def change(self) -> str:
        """How it moved against the period before, in percent; empty where there was nothing before."""
        if not self.before:
            return ""
        return f"{100 * (self.now - self.before) / self.before:+.0f} %".replace("-", "\u2212")

    @property
    def hint(self) -> str:
        return f"{self.before:,} in the period before"


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of movement over all the periods."""

    name: str
    about: str
    figures: list[Figure]


@dataclass(frozen=True, slots=True)
class Money:
    """What the credits that were spent in a period had been sold for, and what serving them cost, in rand.

    Refunds are taken off. ``unpriced`` are the credits that were never sold, but allocated under a subscription or
    given: they have a cost, and no part in the margin.
    """

    name: str
    priced: int
    value: Decimal
    cost: Decimal
    unpriced: int
    unpriced_cost: Decimal

    @property
    def margin(self) -> Decimal:
        return self.value - self.cost

    @property
    def share(self) -> str:
        return f"{100 * self.margin / self.value:.0f} %".replace("-", "\u2212") if self.value else ""


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the first page says to the context of the admin's index."""
    at = clock.now()
    today = at.astimezone(UTC).date()
    told = usage.totals(from_=today - 59 * DAY, to=today + DAY)
    standing = latest()
    return {
        **context,
        "title": "Dashboard",
        "as_of": told.as_of,
        "stale": told.as_of is None or at - told.as_of > timedelta(minutes=30),
        "periods": [name for name, _ in PERIODS],
        "lines": lines(told.rows, today),
        "money": list(money(told.rows, today)) if request.user.has_perm("console.view_value") else None,
        "by_feature": _by_feature(told.rows, today),
        "standing": standing,
        "runs": _runs(),
        "queue": _queue() if request.user.has_perm("console.view_approvalrequest") else None,
        "lists": {
            "runs": rows("tiers_allocationrun"),
            "cost": rows("tiers_recoverycost"),
            "subscriptions": rows("tiers_subscription"),
        },
    }


def _within(found: Iterable[CreditTotal], first: date, days: int) -> list[CreditTotal]:
    return [row for row in found if first <= row.day < first + days * DAY]


def lines(found: list[CreditTotal], today: date) -> list[Line]:
    """Return credits issued, spent, expired and refunded: in each period up to ``today``, and in the one before it."""
    kinds = (
        ("Issued", "allocated, bought, given", ("allocation", "purchase", "promotion", "adjustment"), "credits_in"),
        ("Spent", "usage, refunds not taken off", ("usage",), "credits_out"),
        ("Expired", "unspent at their end", ("expiry",), "credits_out"),
        ("Refunded", "of usage", ("refund",), "credits_in"),
    )

    def figure(types: tuple[str, ...], way: str, days: int) -> Figure:
        first = today - (days - 1) * DAY
        sums = [
            sum(getattr(row, way) for row in _within(found, begin, days) if row.type in types)
            for begin in (first, first - days * DAY)
        ]
        return Figure(*sums)

    return [Line(name, about, [figure(types, way, days) for _, days in PERIODS]) for name, about, types, way in kinds]


def money(found: list[CreditTotal], today: date) -> Iterable[Money]:
    """Yield for each period what was spent, at the price it was sold for, against what serving it cost."""
    costs = list(RecoveryCost.objects.order_by("effective_from").values_list("effective_from", "rand_per_credit"))

    def cost_on(day: date) -> Decimal:
        begun = [rand for since, rand in costs if since.astimezone(UTC).date() <= day]
        return begun[-1] if begun else Decimal(0)

    for name, days in PERIODS:
        moved = [row for row in _within(found, today - (days - 1) * DAY, days) if row.type in {"usage", "refund"}]
        unpriced = [(-row.unpriced, cost_on(row.day)) for row in moved]
        priced = [(row.credits_out - row.credits_in + row.unpriced, cost_on(row.day)) for row in moved]
        yield Money(
            name,
            priced=sum(credits for credits, _ in priced),
            value=-sum((row.value for row in moved), Decimal(0)).quantize(CENT),
            cost=_cost(priced),
            unpriced=sum(credits for credits, _ in unpriced),
            unpriced_cost=_cost(unpriced),
        )


def _cost(served: Iterable[tuple[int, Decimal]]) -> Decimal:
    return sum((credits * rand for credits, rand in served), Decimal(0)).quantize(CENT)


def _by_feature(found: list[CreditTotal], today: date) -> dict[str, Any] | None:
    """Return the chart of thirty days of spending by feature; None where nothing was spent."""
    first = today - 29 * DAY
    spent = [row for row in _within(found, first, 30) if row.type == "usage"]
    sums: dict[str | None, int] = defaultdict(int)
    daily: dict[tuple[str | None, date], int] = defaultdict(int)
    for row in spent:
        sums[row.feature_id] += row.credits_out
        daily[row.feature_id, row.day] += row.credits_out
    if not sums:
        return None
    names = {feature.pk: feature.name for feature in Feature.objects.all()}
    ordered = sorted(sums, key=lambda key: -sums[key])
    kept, rest = ordered[: FEATURES - 1], ordered[FEATURES - 1 :]
    groups: list[tuple[str, list[str | None]]] = [(names.get(key or "", "By amount"), [key]) for key in kept]
    if rest:
        groups.append(("Other", rest))
    days = [first + n * DAY for n in range(30)]
    series = [(name, [sum(daily[key, day] for key in keys) for day in days]) for name, keys in groups]
    return {
        "data": bars([f"{day:%-d %b}" for day in days], series),
        "options": STACKED,
        "legend": [
            (name, sum(sums[key] for key in keys), colour)
            for (name, keys), colour in zip(groups, COLOURS, strict=False)
        ],
    }


def _runs() -> list[dict[str, Any]]:
    """Return the last runs of the monthly allocation."""
    return [
        {"run": run, "url": page("tiers_allocationrun", run.pk)}
        for run in AllocationRun.objects.select_related("tier").order_by("-pk")[:5]
    ]


def _queue() -> dict[str, Any]:
    """Return the requests that wait for a second person, the oldest first."""
    found = pending_requests().select_related("user", "organization", "asked_by")
    waiting = list(found[: QUEUE + 1])
    return {
        "rows": [(row, ACTS[row.act].title, page("console_approvalrequest", row.pk)) for row in waiting[:QUEUE]],
        "more": len(waiting) > QUEUE,
        "all": rows("console_approvalrequest", status__exact="pending"),
    }
