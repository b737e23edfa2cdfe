"""Pages of a long history: the first, the thousandth, the last."""

from collections import defaultdict
from datetime import timedelta
from urllib.parse import urlencode

from fluxori.api.pagination import DEFAULT_LIMIT, cursor
from fluxori.core import clock
from fluxori.devtools.bench import seeding
from fluxori.devtools.bench.session import Stage
from fluxori.identity.models import User

SECTION = "history"
PATH = "/api/credits/history"
FIRST = "first page"
DEEP = "page 1,000"
LAST = "last page"


def measure(stage: Stage) -> None:
    long = stage.sizes.history
    until = clock.now()
    [part, *_] = seeding.parts(
        transactions=1, balances=1, hot=long, seed=7, begin=until - timedelta(days=360), until=until
    )
    written = sum(done.transactions for done in seeding.write(part))
    owner = User.objects.get(email=f"7-hot@{seeding.DOMAIN}")
    pages = {
        FIRST: "",
        DEEP: _beyond(written - min(999 * DEFAULT_LIMIT, written // 2)),
        LAST: _beyond(DEFAULT_LIMIT + 1),
    }
    found: dict[str, list[float]] = defaultdict(list)
    server = stage.server()
    for query in pages.values():
        server.put([owner], PATH + query, 16, method="GET")
    for _ in range(stage.sizes.repeats):
        for name, query in pages.items():
            measured = server.put([owner], PATH + query, 1, method="GET")
            found[name].append(measured.percentile(0.5))
    for name, times in found.items():
        stage.figures.add(SECTION, f"{name} of {written:,} transactions, p50", "ms", times)
    for name in (DEEP, LAST):
        stage.figures.ratio(
            f"history, {name} ÷ first page",
            (SECTION, f"{name} of {written:,} transactions, p50"),
            (SECTION, f"{FIRST} of {written:,} transactions, p50"),
            ("at most", 1.2),
        )


def _beyond(sequence: int) -> str:
    return "?" + urlencode({"cursor": cursor(PATH, "older", [str(sequence)])})
