import json
from argparse import ArgumentParser
from collections import Counter
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from credits import operations
from credits.queries import usage
from fluxori.core import clock
from fluxori.core.command_line import EXIT_REJECTED, Progress, positive_argument
from fluxori.db.chunked_work import is_busy

_PAGE = 500


class Command(BaseCommand):
    help = (
        "Add new transactions to the roll-ups that /usage reads, and to the totals over all balances. Nobody waits for"
        " it: what is not folded yet is read from the ledger, only more slowly. Safe to run twice, twice at once, and"
        " again after a kill. Exit status 0: done; 1: a fault; 2: another run kept some balances busy, which the next"
        " run takes up."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--chunk", type=positive_argument, default=20_000, metavar="N", help="Transactions in a commit, at most."
        )
        parser.add_argument("--json", action="store_true", help="One JSON object on stdout.")

    def handle(self, *, chunk: int, json: bool, **_: Any) -> None:
        started_at = clock.now()
        done: Counter[str] = Counter(balances=0, transactions=0, busy=0)
        after: UUID | None = None
        with Progress("transactions", stream=self.stderr) as progress:
            while ids := usage.unaggregated_balances(after=after, limit=_PAGE):
                done.update(self._page(ids, chunk, progress))
                after = ids[-1]
        operations.finish_aggregation(
            started_at=started_at, finished_at=clock.now(), transactions=done["transactions"], busy=done["busy"]
        )
        self._answer(done, json)
        if done["busy"]:
            raise CommandError(f"{done['busy']} balances were busy; the next run takes them", returncode=EXIT_REJECTED)

    def _page(self, ids: list[UUID], chunk: int, progress: Progress) -> Counter[str]:
        done: Counter[str] = Counter()
        touched: set[UUID] = set()
        try:
            while True:
                folded = operations.aggregate_usage(balance_ids=ids, most=chunk)
                count = sum(folded.values())
                touched |= folded.keys()
                done["transactions"] += count
                progress.advance(count)
                if count < chunk:
                    break
        except OperationalError as fault:
            if not is_busy(fault):
                raise
            # The chunks before this one are committed; the rest is left to whoever has the lock, or to the next run.
            done["busy"] = len(ids)
        done["balances"] = len(touched)
        return done

    def _answer(self, done: Counter[str], as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(done))
            return
        self.stdout.write(f"{done['transactions']:,} transactions of {done['balances']:,} balances folded")
