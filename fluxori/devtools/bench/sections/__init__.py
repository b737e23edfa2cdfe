"""What is measured, one module a section; each has ``measure(stage)``, which adds to the stage's figures."""

from collections.abc import Callable

from fluxori.devtools.bench.sections import allocation, growth, history, holds, http, in_process, latency, sql, verify
from fluxori.devtools.bench.session import Stage

SECTIONS: dict[str, Callable[[Stage], None]] = {
    "http": http.measure,
    "sql": sql.measure,
    "inprocess": in_process.measure,
    "holds": holds.measure,
    "history": history.measure,
    "allocation": allocation.measure,
    "latency": latency.measure,
    "growth": growth.measure,
    "verify": verify.measure,
}
