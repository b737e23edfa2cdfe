"""Measured figures: each with the values of all repeats, and for some of them a goal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, measured once per repeat. ``goal`` is a bound of the median, for example ("at least", 0.6)."""

    section: str
    name: str
    unit: str
    values: tuple[float, ...]
    goal: tuple[str, float] | None = None

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def spread(self) -> float:
        """The difference between the largest and the smallest value, divided by the median."""
        return (max(self.values) - min(self.values)) / self.median if self.median else 0.0

    @property
    def reached(self) -> bool | None:
        if self.goal is None:
            return None
        comparison, bound = self.goal
        return self.median >= bound if comparison == "at least" else self.median <= bound

    def as_json(self) -> dict[str, Any]:
        return {
            "section": self.section,
            "name": self.name,
            "unit": self.unit,
            "median": round(self.median, 4),
            "spread": round(self.spread, 4),
            "values": [round(value, 4) for value in self.values],
            **({"goal": " ".join(map(str, self.goal)), "reached": self.reached} if self.goal else {}),
        }


@dataclass(slots=True)
class Figures:
    """All figures of one run, in order. Each is passed to ``report`` as text when it is added."""

    report: Callable[[str], None]
    items: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, section: str, name: str, unit: str, values: Sequence[float]) -> None:
        figure = Figure(section, name, unit, tuple(values))
        self.items.append(figure)
        self.report(format_line(figure))

    def note(self, text: str) -> None:
        """Add a remark that a reader of the figures must know."""
        self.notes.append(text)
        self.report(text)

    def get(self, section: str, name: str) -> Figure | None:
        return next((figure for figure in self.items if (figure.section, figure.name) == (section, name)), None)

    def ratio(
        self, name: str, dividend: tuple[str, str], divisor: tuple[str, str], goal: tuple[str, float] | None = None
    ) -> None:
        """Add the ratio of two figures, repeat by repeat. If one of them was not measured, add nothing."""
        numerator, denominator = self.get(*dividend), self.get(*divisor)
        if numerator is None or denominator is None:
            return
        pairs = zip(numerator.values, denominator.values, strict=False)
        values = tuple(over / under for over, under in pairs if under)
        if values:
            self.items.append(Figure("ratios", name, "", values, goal))

    def set_goal(self, key: tuple[str, str], goal: tuple[str, float]) -> None:
        """Set the goal of a figure, given by section and name, if it was measured."""
        self.items = [
            replace(figure, goal=goal) if (figure.section, figure.name) == key else figure for figure in self.items
        ]


def format_line(figure: Figure) -> str:
    """Return one line of the table."""
    text = f"  {figure.name:<62} {format_number(figure.median):>10} {figure.unit:<8} ±{50 * figure.spread:.0f}%"
    if figure.goal is None:
        return text
    comparison, bound = figure.goal
    return f"{text:<92} {comparison} {bound:g}: {'yes' if figure.reached else 'no'}"


def format_number(value: float) -> str:
    """Return a value with about three significant digits.

    >>> format_number(12345.6), format_number(12.34), format_number(0.1234)
    ('12,346', '12.3', '0.123')
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3f}" if value < 1 else f"{value:.2f}"


def format_table(figures: Sequence[Figure]) -> str:
    """Return all figures as text, section by section."""
    lines: list[str] = []
    for section in dict.fromkeys(figure.section for figure in figures):
        lines += ["", section, *(format_line(figure) for figure in figures if figure.section == section)]
    return "\n".join(lines)
