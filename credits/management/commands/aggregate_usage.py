"""Aggregate new transactions into the usage roll-ups, for a scheduler. Commits per chunk."""

from argparse import ArgumentParser
from collections import Counter
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.db import OperationalError

from credits import operations
from credits.queries import usage
from fluxori.core import clock
from fluxori.core.command_line import EXIT_REJECTED, Progress, positive_argument
from fluxori.db.chunked_work import ChunkSize, is_busy
from fluxori.db.operator_command import OperatorCommand

_PAGE = 500
_FIRST_CHUNK = 5_000


class Command(OperatorCommand):
    help = (
        "Add new transactions to the usage roll-ups and to the totals over all balances. Reads stay exact without it:"
        " transactions that are not aggregated are read from the ledger, which is slower. Safe to repeat, to run"
        " concurrently, and to kill. Exit status 0: done; 1: failed; 2: some balances were locked by another run, and"
        " the next run aggregates them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--chunk", type=positive_argument, default=20_000, metavar="N", help="Maximum transactions per commit."
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *, chunk: int, json: bool, **_: Any) -> None:
        started_at = clock.now()
        totals: Counter[str] = Counter(balances=0, transactions=0, busy=0)
        after: UUID | None = None
        size = ChunkSize(chunk, first=_FIRST_CHUNK)
        with Progress("transactions", stream=self.stderr) as progress:
            while ids := usage.unaggregated_balances(after=after, limit=_PAGE):
                totals.update(self._aggregate(ids, size, progress))
                after = ids[-1]
        operations.finish_aggregation(
            run_id=self.run_id,
            started_at=started_at,
            finished_at=clock.now(),
            transactions=totals["transactions"],
            busy=totals["busy"],
        )
        self._print(totals, json)
        if totals["busy"]:
            raise CommandError(
                f"{totals['busy']} balances were busy; the next run aggregates them", returncode=EXIT_REJECTED
            )

    def _aggregate(self, ids: list[UUID], size: ChunkSize, progress: Progress) -> Counter[str]:
        totals: Counter[str] = Counter()
        balances: set[UUID] = set()
        try:
            while True:
                most = size.current
                with size.measured(most):
                    counts = operations.aggregate_usage(balance_ids=ids, most=most)
                count = sum(counts.values())
                balances |= counts.keys()
                totals["transactions"] += count
                progress.advance(count)
                if count < most:
                    break
        except OperationalError as error:
            if not is_busy(error):
                raise
            # The previous chunks are committed. The run that has the lock, or the next run, aggregates the rest.
            totals["busy"] = len(ids)
        totals["balances"] = len(balances)
        return totals

    def _print(self, totals: Counter[str], as_json: bool) -> None:
        if as_json:
            self.write_json(dict(totals))
            return
        self.stdout.write(f"{totals['transactions']:,} transactions of {totals['balances']:,} balances aggregated")
