"""Run the monthly allocation, for a scheduler. Commits per chunk and records its progress."""

from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from credits.queries import account_names
from fluxori.core import clock
from fluxori.core.command_line import EXIT_REJECTED, Progress, positive_argument, reject_future, timestamp_argument
from fluxori.db.chunked_work import JOBS, ChunkResult, ChunkSize, process_in_chunks
from fluxori.db.operator_command import OperatorCommand
from tiers import operations, queries
from tiers.models import AllocationRun
from tiers.operations import Totals


class Command(OperatorCommand):
    help = (
        "Grant every active subscription its credits for each period that has begun, missed periods included. Safe to"
        " repeat, to run concurrently, and to kill: each period is allocated exactly once. Exit status 0: done; 1:"
        " failed; 2: some balances were locked, and the next run processes them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--at", type=timestamp_argument, metavar="TIME", help="Periods begun by TIME; default: now."
        )
        parser.add_argument("--dry-run", action="store_true", help="Print what is due; grant nothing.")
        parser.add_argument("--tier", metavar="CODE", help="Only subscriptions of this tier.")
        parser.add_argument(
            "--chunk",
            type=positive_argument,
            default=1000,
            metavar="N",
            help="At most so many subscriptions per commit; default 1000.",
        )
        parser.add_argument(
            "--jobs", type=positive_argument, default=JOBS, metavar="N", help=f"Concurrent chunks; default {JOBS}."
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(
        self, *, at: datetime | None, dry_run: bool, tier: str | None, chunk: int, jobs: int, json: bool, **_: Any
    ) -> None:
        started_at = clock.now()
        at = at or started_at
        reject_future(at, dry_run=dry_run)
        if tier is not None and not queries.is_tier(tier):
            raise CommandError(f"There is no tier {tier!r}.")
        due = queries.due_by_tier(at=at, tier=tier)
        totals = Totals()
        if due and dry_run:
            totals = self._process(at, tier, chunk, jobs, None, expected=sum(due.values()))
        elif due:
            started_by = "allocate_monthly_credits"
            expected = sum(due.values())
            run = operations.start_run(
                run_id=self.run_id, at=at, started_at=started_at, started_by=started_by, due=expected, tier=tier
            )
            totals = self._process(at, tier, chunk, jobs, run, expected=expected)
        self._print(totals, at, dry_run=dry_run, as_json=json)
        if totals.rejected:
            raise CommandError(
                f"{len(totals.rejected)} subscriptions were rejected; see above.", returncode=EXIT_REJECTED
            )

    def _process(
        self, at: datetime, tier: str | None, chunk: int, jobs: int, run: AllocationRun | None, *, expected: int
    ) -> Totals:
        totals = Totals()
        status = AllocationRun.Status.STOPPED
        size = ChunkSize(chunk)

        def work(ids: list[UUID]) -> Totals:
            with size.measured(len(ids)):
                if run is None:
                    return operations.count_due(subscriptions=queries.due_among(ids, at=at), at=at)
                return operations.allocate_due(balance_ids=ids, at=at, run=run.pk)

        def on_chunk_done(done: ChunkResult[Totals]) -> None:
            for result in done.results:
                totals.add(result)
            totals.add(
                Totals(subscriptions=len(done.busy), rejected=[(balance_id, "busy") for balance_id in done.busy])
            )
            if run is not None:
                operations.record_progress(run=run, totals=totals, seen_at=clock.now())
            progress.advance(done.count)

        try:
            with Progress("subscriptions", stream=self.stderr, total=expected) as progress:
                process_in_chunks(_chunks(at, tier, size), work, on_chunk_done, jobs=jobs)
            status = AllocationRun.Status.DONE
        finally:
            if run is not None:
                operations.finish_run(run=run, totals=totals, status=status, finished_at=clock.now())
        return totals

    def _print(self, totals: Totals, at: datetime, *, dry_run: bool, as_json: bool) -> None:
        names = account_names([balance_id for balance_id, _ in totals.rejected])
        for balance_id, code in totals.rejected:
            self.stderr.write(f"{names[balance_id]}, balance {balance_id}: {code}")
        codes = sorted(totals.allocated.keys() | totals.skipped.keys())
        per_tier = {
            code: {
                "allocated": totals.allocated[code],
                "skipped": totals.skipped[code],
                "credits": totals.credits[code],
            }
            for code in codes
        }
        if as_json:
            report = {
                "at": at.isoformat(),
                "dryRun": dry_run,
                "subscriptions": totals.subscriptions,
                "rejected": len(totals.rejected),
                "tiers": per_tier,
            }
            self.write_json(report)
            return
        verb = "would be allocated" if dry_run else "allocated"
        for code, counts in per_tier.items():
            self.stdout.write(
                f"{code}: {counts['allocated']:,} periods {verb}, {counts['credits']:,} credits,"
                f" {counts['skipped']:,} skipped"
            )
        self.stdout.write(
            f"{totals.subscriptions:,} subscriptions due by {at.isoformat()}, {len(totals.rejected):,} rejected"
        )


def _chunks(at: datetime, tier: str | None, size: ChunkSize) -> Iterator[list[UUID]]:
    """Yield the due balances by key range, so that a committed chunk does not shift the next one."""
    after: UUID | None = None
    while ids := list(queries.due(at=at, tier=tier, after=after).values_list("pk", flat=True)[: size.current]):
        yield ids
        after = ids[-1]
