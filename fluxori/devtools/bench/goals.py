"""The goals of the benchmarks. Most are ratios of two figures of the same run, so they do not depend on the machine."""

from fluxori.devtools.bench.figures import Figures
from fluxori.devtools.bench.sections import allocation, http, in_process, latency, sql


def compare(figures: Figures, *, subscriptions: tuple[int, ...]) -> None:
    """Add every ratio of two measured figures, with its goal."""
    over_http = (http.SECTION, http.MANY.format(16))
    figures.ratio(
        "HTTP deduct, many balances, 16 connections ÷ no-op endpoint",
        over_http,
        (http.SECTION, http.NOOP.format(16)),
        ("at least", 0.60),
    )
    hot = (http.SECTION, http.HOT.format(64))
    figures.ratio(
        "HTTP deduct, one hot balance ÷ many, 64 connections",
        hot,
        (http.SECTION, http.MANY.format(64)),
        ("at least", 0.95),
    )
    figures.ratio(
        "HTTP deduct, hot balance ÷ single-statement SQL, hot row, 64 connections",
        hot,
        (sql.SECTION, sql.SINGLE_STATEMENT_HOT.format(64)),
        ("at least", 1.0),
    )
    figures.ratio(
        "batch of 64 ÷ single-statement SQL, hot row, 16 connections",
        (in_process.SECTION, in_process.BATCH.format(64)),
        (sql.SECTION, sql.SINGLE_STATEMENT_HOT.format(16)),
        ("at least", 8),
    )
    single = (in_process.SECTION, in_process.SINGLE)
    figures.ratio("single deduct ÷ naive ORM", single, (in_process.SECTION, in_process.NAIVE), ("at least", 4))
    figures.ratio("single deduct ÷ django-hordak", single, (in_process.SECTION, in_process.HORDAK))
    for many in subscriptions:
        first = (allocation.SECTION, allocation.FIRST.format(many))
        set_based = (allocation.SECTION, allocation.SET_BASED.format(many))
        again = (allocation.SECTION, allocation.SECOND.format(many))
        figures.ratio(f"allocation of {many:,} ÷ set-based SQL, time", first, set_based, ("at most", 1.5))
        figures.ratio(f"allocation of {many:,}, second run ÷ first", again, first, ("at most", 0.35))
        figures.set_goal((allocation.SECTION, allocation.MEMORY.format(many)), ("at most", 300))
    figures.ratio(
        "p99 of deduct while allocating ÷ alone, 16 connections",
        (latency.SECTION, latency.P99_ALLOCATING),
        (latency.SECTION, latency.P99),
        ("at most", 3),
    )
