"""The figures of the dashboard: credits issued, spent, expired and refunded per period, and the margin.

Everything is computed from the daily totals of ``aggregate_usage``, so the cost does not depend on the number of
transactions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal

from credits.models import CreditTotal
from fluxori.console.dashboard.charts import DAY
from tiers.models import RecoveryCost

PERIODS = (("Today", 1), ("7 days", 7), ("30 days", 30))
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class PeriodComparison:
    """Whole credits in a period, and in the period of the same length before it."""

    current: int
    previous: int

    @property
    def change(self) -> str:
        """The change against the previous period in percent. It is empty if the previous period has no credits."""
        if not self.previous:
            return ""
        return f"{100 * (self.current - self.previous) / self.previous:+.0f} %".replace("-", "\u2212")

    @property
    def hint(self) -> str:
        return f"{self.previous:,} in the previous period"


@dataclass(frozen=True, slots=True)
class MovementRow:
    """One kind of movement in all periods."""

    name: str
    description: str
    comparisons: list[PeriodComparison]


@dataclass(frozen=True, slots=True)
class MarginRow:
    """The margin of one period in rand: the price for which the spent credits were sold, minus the cost to serve them.

    Refunds are deducted. ``unpriced`` credits were never sold but allocated or given: they have a cost, and no part in
    the margin.
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


def totals_within(totals: Iterable[CreditTotal], first: date, days: int) -> list[CreditTotal]:
    return [row for row in totals if first <= row.day < first + days * DAY]


def movement_rows(totals: list[CreditTotal], today: date) -> list[MovementRow]:
    """Return credits issued, spent, expired and refunded, in each period up to ``today`` and in the previous one."""
    kinds = (
        (
            "Issued",
            "allocations, purchases, promotions, adjustments",
            ("allocation", "purchase", "promotion", "adjustment"),
            "credits_in",
        ),
        ("Spent", "usage, before refunds", ("usage",), "credits_out"),
        ("Expired", "unspent at expiry", ("expiry",), "credits_out"),
        ("Refunded", "refunds of usage", ("refund",), "credits_in"),
    )

    def compare(types: tuple[str, ...], column: str, days: int) -> PeriodComparison:
        first = today - (days - 1) * DAY
        sums = [
            sum(getattr(row, column) for row in totals_within(totals, start, days) if row.type in types)
            for start in (first, first - days * DAY)
        ]
        return PeriodComparison(*sums)

    return [
        MovementRow(name, description, [compare(types, column, days) for _, days in PERIODS])
        for name, description, types, column in kinds
    ]


def margin_rows(totals: list[CreditTotal], today: date) -> Iterable[MarginRow]:
    """Yield the margin of each period up to ``today``, with the recovery cost of each day."""
    costs = list(RecoveryCost.objects.order_by("effective_from").values_list("effective_from", "rand_per_credit"))

    def cost_on(day: date) -> Decimal:
        effective = [rand for since, rand in costs if since.astimezone(UTC).date() <= day]
        return effective[-1] if effective else Decimal(0)

    for name, days in PERIODS:
        rows = [row for row in totals_within(totals, today - (days - 1) * DAY, days) if row.type in {"usage", "refund"}]
        unpriced = [(-row.unpriced, cost_on(row.day)) for row in rows]
        priced = [(row.credits_out - row.credits_in + row.unpriced, cost_on(row.day)) for row in rows]
        yield MarginRow(
            name,
            priced=sum(credits for credits, _ in priced),
            value=-sum((row.value for row in rows), Decimal(0)).quantize(CENT),
            cost=_total_cost(priced),
            unpriced=sum(credits for credits, _ in unpriced),
            unpriced_cost=_total_cost(unpriced),
        )


def _total_cost(served: Iterable[tuple[int, Decimal]]) -> Decimal:
    return sum((credits * rand for credits, rand in served), Decimal(0)).quantize(CENT)
