"""The sections of the benchmarks, one module each. ``measure(session)`` adds figures to the session."""

from collections.abc import Callable

from fluxori.devtools.bench.sections import (
    allocation,
    grants,
    growth,
    history,
    holds,
    http,
    in_process,
    latency,
    soak,
    sql,
    verify,
)
from fluxori.devtools.bench.session import BenchSession

SECTIONS: dict[str, Callable[[BenchSession], None]] = {
    "http": http.measure,
    "sql": sql.measure,
    "inprocess": in_process.measure,
    "holds": holds.measure,
    "history": history.measure,
    "allocation": allocation.measure,
    "latency": latency.measure,
    "grants": grants.measure,
    "growth": growth.measure,
    "verify": verify.measure,
    "soak": soak.measure,
}
# Runs only if it is named: it takes many minutes.
NOT_BY_DEFAULT = ("soak",)
