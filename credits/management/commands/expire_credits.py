import json
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from credits import operations, queries
from fluxori.core import clock
from fluxori.core.command_line import EXIT_REJECTED, Progress, positive_argument, reject_future, timestamp_argument
from fluxori.db.chunked_work import JOBS, Done, process_in_chunks


class Command(BaseCommand):
    help = (
        "Write what has fallen due: expired credits, lapsed holds, rollovers. Nobody waits for it: what has expired can"
        " be neither spent nor seen. It completes the history of balances that nobody touches. Safe to run twice, or"
        " twice at once. Exit status 0: done; 1: a fault; 2: some balances were busy and are left for the next run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--at", type=timestamp_argument, metavar="TIME", help="Due by when, like 2026-03-01T12:00:00Z; default now."
        )
        parser.add_argument("--dry-run", action="store_true", help="Say what would be written; write nothing.")
        parser.add_argument("--chunk", type=positive_argument, default=500, metavar="N", help="Balances in a commit.")
        parser.add_argument(
            "--jobs", type=positive_argument, default=JOBS, metavar="N", help=f"Chunks at a time; default {JOBS}."
        )
        parser.add_argument("--json", action="store_true", help="One JSON object on stdout.")

    def handle(self, *, at: datetime | None, dry_run: bool, chunk: int, jobs: int, json: bool, **_: Any) -> None:
        at = at or clock.now()
        reject_future(at, dry_run=dry_run)
        totals: Counter[str] = Counter(balances=0, transactions=0, credits=0, refused=0)

        def work(ids: list[UUID]) -> dict[str, int]:
            return operations.expire_credits(balance_ids=ids, at=at, dry_run=dry_run)

        def tell(done: Done[dict[str, int]]) -> None:
            for part in done.results:
                totals.update(part)
            totals["refused"] += len(done.busy)
            for balance in done.busy:
                self.stderr.write(f"balance {balance}: busy")
            progress.advance(done.count)

        with Progress("balances", stream=self.stderr) as progress:
            process_in_chunks(_chunks(at, chunk), work, tell, jobs=jobs)
        self._answer(totals, at, dry_run, json)
        if totals["refused"]:
            raise CommandError(
                f"{totals['refused']} balances were busy; the next run takes them", returncode=EXIT_REJECTED
            )

    def _answer(self, done: Counter[str], at: datetime, dry_run: bool, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"at": at.isoformat(), "dryRun": dry_run, **done}))
            return
        verb = "would expire" if dry_run else "expired"
        self.stdout.write(
            f"Due by {at.isoformat()}: {done['credits']:,} credits {verb}, {done['balances']:,} balances,"
            f" {done['transactions']:,} transactions"
        )


def _chunks(at: datetime, size: int) -> Iterator[list[UUID]]:
    """Yield what is due in ranges of the key, so that no position is lost when a chunk changes what is due."""
    after: UUID | None = None
    while ids := queries.due_balances(at=at, after=after, limit=size):
        yield ids
        after = ids[-1]
