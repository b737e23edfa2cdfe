"""What was measured: each figure with all its repeats, and what is asked of some of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured some times over. ``goal`` says what is asked of the median, like ("at least", 0.6)."""

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
        """How far the repeats lie apart, as a share of the median."""
        return (max(self.values) - min(self.values)) / self.median if self.median else 0.0

    @property
    def reached(self) -> bool | None:
        if self.goal is None:
            return None
        how, wanted = self.goal
        return self.median >= wanted if how == "at least" else self.median <= wanted

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
    """Everything that one run has measured, in order. ``say`` is told of each as it comes."""

    say: Callable[[str], None]
    found: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, section: str, name: str, unit: str, values: Sequence[float]) -> None:
        figure = Figure(section, name, unit, tuple(values))
        self.found.append(figure)
        self.say(line(figure))

    def note(self, words: str) -> None:
        """Keep something that a reader of the figures must know."""
        self.notes.append(words)
        self.say(words)

    def get(self, section: str, name: str) -> Figure | None:
        return next((figure for figure in self.found if (figure.section, figure.name) == (section, name)), None)

    def ratio(
        self, name: str, above: tuple[str, str], below: tuple[str, str], goal: tuple[str, float] | None = None
    ) -> None:
        """Add one figure through another, repeat by repeat. Where one of them was not measured there is none."""
        numerator, denominator = self.get(*above), self.get(*below)
        if numerator is None or denominator is None:
            return
        pairs = zip(numerator.values, denominator.values, strict=False)
        values = tuple(over / under for over, under in pairs if under)
        if values:
            self.found.append(Figure("ratios", name, "", values, goal))

    def ask(self, of: tuple[str, str], goal: tuple[str, float]) -> None:
        """Ask something of a figure itself, where it was measured."""
        self.found = [
            replace(figure, goal=goal) if (figure.section, figure.name) == of else figure for figure in self.found
        ]


def line(figure: Figure) -> str:
    """Return one line of the table."""
    said = f"  {figure.name:<62} {number(figure.median):>10} {figure.unit:<8} ±{50 * figure.spread:.0f}%"
    if figure.goal is None:
        return said
    how, wanted = figure.goal
    return f"{said:<92} {how} {wanted:g}: {'yes' if figure.reached else 'no'}"


def number(value: float) -> str:
    """Return a value with as many digits as it deserves.

    >>> number(12345.6), number(12.34), number(0.1234)
    ('12,346', '12.3', '0.123')
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3f}" if value < 1 else f"{value:.2f}"


def table(figures: Sequence[Figure]) -> str:
    """Return all figures, section by section."""
    lines: list[str] = []
    for section in dict.fromkeys(figure.section for figure in figures):
        lines += ["", section, *(line(figure) for figure in figures if figure.section == section)]
    return "\n".join(lines)
