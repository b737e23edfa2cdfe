"""Store due events (expired credits, lapsed holds, rollovers), for a scheduler. Commits per chunk."""

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from credits import operations, queries
from fluxori.core import clock
from fluxori.core.command_line import EXIT_REJECTED, Progress, positive_argument, reject_future, timestamp_argument
from fluxori.db.chunked_work import JOBS, ChunkResult, ChunkSize, process_in_chunks
from fluxori.db.operator_command import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Store due events: expired credits, lapsed holds and rollovers. Expired credits can be neither spent nor seen,"
        " whether or not this command has run; it completes the history of balances that no operation changes. Safe to"
        " repeat and to run concurrently. Exit status 0: done; 1: failed; 2: some balances were locked, and the next"
        " run processes them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--at",
            type=timestamp_argument,
            metavar="TIME",
            help="Events due by TIME, for example 2026-03-01T12:00:00Z; default now.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Print what would be stored; store nothing.")
        parser.add_argument(
            "--chunk",
            type=positive_argument,
            default=500,
            metavar="N",
            help="At most so many balances per commit; default 500.",
        )
        parser.add_argument(
            "--jobs", type=positive_argument, default=JOBS, metavar="N", help=f"Concurrent chunks; default {JOBS}."
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *, at: datetime | None, dry_run: bool, chunk: int, jobs: int, json: bool, **_: Any) -> None:
        at = at or clock.now()
        reject_future(at, dry_run=dry_run)
        totals: Counter[str] = Counter(balances=0, transactions=0, credits=0, rejected=0)
        busy: list[UUID] = []
        size = ChunkSize(chunk)

        def work(ids: list[UUID]) -> dict[str, int]:
            with size.measured(len(ids)):
                return operations.expire_credits(balance_ids=ids, at=at, dry_run=dry_run)

        def on_chunk_done(done: ChunkResult[dict[str, int]]) -> None:
            for result in done.results:
                totals.update(result)
            busy.extend(done.busy)
            progress.advance(done.count)

        with Progress("balances", stream=self.stderr) as progress:
            process_in_chunks(_chunks(at, size), work, on_chunk_done, jobs=jobs)
        totals["rejected"] = len(busy)
        self._print(totals, at, dry_run, json)
        names = queries.account_names(busy)
        for balance_id in busy:
            self.stderr.write(f"{names[balance_id]}, balance {balance_id}: busy")
        if totals["rejected"]:
            raise CommandError(
                f"{totals['rejected']} balances were busy; the next run processes them", returncode=EXIT_REJECTED
            )

    def _print(self, totals: Counter[str], at: datetime, dry_run: bool, as_json: bool) -> None:
        if as_json:
            self.write_json({"at": at.isoformat(), "dryRun": dry_run, **totals})
            return
        verb = "would expire" if dry_run else "expired"
        self.stdout.write(
            f"Due by {at.isoformat()}: {totals['credits']:,} credits {verb}, {totals['balances']:,} balances,"
            f" {totals['transactions']:,} transactions"
        )


def _chunks(at: datetime, size: ChunkSize) -> Iterator[list[UUID]]:
    """Yield the due balances by key range, so that a committed chunk does not shift the next one."""
    after: UUID | None = None
    while ids := queries.due_balances(at=at, after=after, limit=size.current):
        yield ids
        after = ids[-1]
