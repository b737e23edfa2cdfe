"""The goals of the benchmarks. Most are ratios of two figures of the same run, so they do not depend on the machine."""

from fluxori.devtools.bench.figures import Figures
from fluxori.devtools.bench.sections import allocation, http, in_process, latency, soak, sql

# A ratio of two figures over HTTP: its name, the two figures, and its goal. The naive application runs under the same
# server; see ``fluxori.devtools.bench.naive``.
_OVER_HTTP = (
    (
        "deduct, many, 16 ÷ naive deduct, many, 16",
        http.MANY.format(16),
        http.NAIVE_MANY.format(16),
        ("at least", 2.5),
    ),
    ("deduct, hot, 16 ÷ naive deduct, hot, 16", http.HOT.format(16), http.NAIVE_HOT.format(16), ("at least", 4.0)),
    ("deduct, hot, 64 ÷ naive deduct, hot, 64", http.HOT.format(64), http.NAIVE_HOT.format(64), ("at least", 5.0)),
    ("deduct, many, 64 ÷ naive no-op, 64", http.MANY.format(64), http.NAIVE_NOOP.format(64), ("at least", 1.0)),
    ("balance, 16 ÷ naive no-op, 16", http.BALANCE.format(16), http.NAIVE_NOOP.format(16), ("at least", 1.3)),
    (
        "deduct, many, 1 connection: p50 ÷ naive deduct's",
        http.P50.format(http.MANY.format(1)),
        http.P50.format(http.NAIVE_MANY.format(1)),
        ("at most", 0.7),
    ),
    ("hold + capture, many, 16 ÷ deduct, many, 16", http.HOLD, http.DEDUCT_OWN_CLIENT, ("at least", 0.45)),
    ("deduct, many, 16 ÷ own no-op endpoint, 16", http.MANY.format(16), http.NOOP.format(16), None),
    ("deduct, hot, 64 ÷ deduct, many, 64", http.HOT.format(64), http.MANY.format(64), ("at least", 0.95)),
)


def compare(figures: Figures, *, subscriptions: tuple[int, ...]) -> None:
    """Add every ratio of two measured figures, with its goal."""
    for name, dividend, divisor, bound in _OVER_HTTP:
        figures.ratio(name, (http.SECTION, dividend), (http.SECTION, divisor), bound)
    figures.ratio(
        "HTTP deduct, hot balance ÷ single-statement SQL, hot row, 64 connections",
        (http.SECTION, http.HOT.format(64)),
        (sql.SECTION, sql.SINGLE_STATEMENT_HOT.format(64)),
        ("at least", 1.0),
    )
    figures.ratio(
        "memory at the end of the soak ÷ after the first minute",
        (soak.SECTION, soak.MEMORY_AFTER),
        (soak.SECTION, soak.MEMORY_BEFORE),
        ("at most", 1.1),
    )
    figures.ratio(
        "database connections at the end of the soak ÷ after the first minute",
        (soak.SECTION, soak.DATABASE_AFTER),
        (soak.SECTION, soak.DATABASE_BEFORE),
        ("at most", 1.0),
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
