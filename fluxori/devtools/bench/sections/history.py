"""Response times of the first, the thousandth and the last page of a long history."""

from collections import defaultdict
from datetime import timedelta
from urllib.parse import urlencode

from fluxori.api.pagination import DEFAULT_LIMIT, cursor
from fluxori.core import clock
from fluxori.devtools.bench import seeding
from fluxori.devtools.bench.session import BenchSession
from fluxori.identity.models import User

SECTION = "history"
PATH = "/api/credits/history"
FIRST = "first page"
DEEP = "page 1,000"
LAST = "last page"


def measure(session: BenchSession) -> None:
    long = session.sizes.history
    until = clock.now()
    [part, *_] = seeding.split_work(
        transactions=1, balances=1, hot=long, seed=7, begin=until - timedelta(days=360), until=until
    )
    written = sum(counts.transactions for counts in seeding.write(part))
    owner = User.objects.get(email=f"7-hot@{seeding.DOMAIN}")
    pages = {
        FIRST: "",
        DEEP: _query_after(written - min(999 * DEFAULT_LIMIT, written // 2)),
        LAST: _query_after(DEFAULT_LIMIT + 1),
    }
    values: dict[str, list[float]] = defaultdict(list)
    server = session.server()
    for query in pages.values():
        server.run_load([owner], PATH + query, 16, method="GET")
    for _ in range(session.sizes.repeats):
        for name, query in pages.items():
            measured = server.run_load([owner], PATH + query, 1, method="GET")
            values[name].append(measured.percentile(0.5))
    for name, times in values.items():
        session.figures.add(SECTION, f"{name} of {written:,} transactions, p50", "ms", times)
    for name in (DEEP, LAST):
        session.figures.ratio(
            f"history, {name} ÷ first page",
            (SECTION, f"{name} of {written:,} transactions, p50"),
            (SECTION, f"{FIRST} of {written:,} transactions, p50"),
            ("at most", 1.2),
        )


def _query_after(sequence: int) -> str:
    return "?" + urlencode({"cursor": cursor(PATH, "older", [str(sequence)])})
