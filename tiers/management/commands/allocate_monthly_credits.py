"""The monthly allocation, for a scheduler."""

import json as jsonlib
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from fluxori.kernel import clock
from fluxori.kernel.commands import REFUSED, Progress, instant_argument, positive_argument, refuse_future
from tiers import operations, queries
from tiers.models import AllocationRun, Subscription
from tiers.operations import Totals


class Command(BaseCommand):
    help = (
        "Give every active subscription its credits for each month that has begun, the missed ones included."
        " Safe to run twice, twice at once, and again after a kill: each month is given exactly once."
        " Exit status: 0 done (nothing due included), 1 a fault, 2 some were busy; the next run takes them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--at", type=instant_argument, metavar="TIME", help="Months begun by then; default: now.")
        parser.add_argument("--dry-run", action="store_true", help="Count what is due; give nothing.")
        parser.add_argument("--tier", metavar="CODE", help="Only subscriptions of this tier.")
        parser.add_argument(
            "--chunk", type=positive_argument, default=1000, metavar="N", help="Subscriptions a commit."
        )
        parser.add_argument("--json", action="store_true", help="Print the totals as one line of JSON.")

    def handle(self, *, at: datetime | None, dry_run: bool, tier: str | None, chunk: int, json: bool, **_: Any) -> None:
        started_at = clock.now()
        at = at or started_at
        refuse_future(at, dry_run=dry_run)
        if tier is not None and not queries.is_tier(tier):
            raise CommandError(f"There is no tier {tier!r}.")
        due = queries.due_by_tier(at=at, tier=tier)
        totals = Totals()
        if due and dry_run:
            totals = self._walk(at, tier, chunk, None, expected=sum(due.values()))
        elif due:
            started_by = "allocate_monthly_credits"
            expected = sum(due.values())
            run = operations.start_run(at=at, started_at=started_at, started_by=started_by, due=expected, tier=tier)
            totals = self._walk(at, tier, chunk, run, expected=expected)
        self._tell(totals, at, dry_run=dry_run, as_json=json)
        if totals.refused:
            raise CommandError(f"{len(totals.refused)} subscriptions were refused; see above.", returncode=REFUSED)

    def _walk(self, at: datetime, tier: str | None, chunk: int, run: AllocationRun | None, *, expected: int) -> Totals:
        totals = Totals()
        status = AllocationRun.Status.STOPPED
        try:
            with Progress("subscriptions", stream=self.stderr, total=expected) as progress:
                for subscriptions in _chunks(at, tier, chunk):
                    if run is None:
                        done = operations.count_due(subscriptions=subscriptions, at=at)
                    else:
                        ids = [subscription.pk for subscription in subscriptions]
                        done = _give(ids, at, run.pk)
                    totals.add(done)
                    if run is not None:
                        operations.note_run(run=run, totals=totals, seen_at=clock.now())
                    progress.advance(len(subscriptions))
            status = AllocationRun.Status.DONE
        finally:
            if run is not None:
                operations.finish_run(run=run, totals=totals, status=status, finished_at=clock.now())
        return totals

    def _tell(self, totals: Totals, at: datetime, *, dry_run: bool, as_json: bool) -> None:
        for balance, code in totals.refused:
            self.stderr.write(f"{balance}: {code}")
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
            answer = {
                "at": at.isoformat(),
                "dryRun": dry_run,
                "subscriptions": totals.subscriptions,
                "refused": len(totals.refused),
                "tiers": per_tier,
            }
            self.stdout.write(jsonlib.dumps(answer))
            return
        verb = "would be allocated" if dry_run else "allocated"
        for code, counts in per_tier.items():
            self.stdout.write(
                f"{code}: {counts['allocated']:,} months {verb}, {counts['credits']:,} credits,"
                f" {counts['skipped']:,} skipped as over"
            )
        self.stdout.write(
            f"{totals.subscriptions:,} subscriptions due by {at.isoformat()}, {len(totals.refused):,} refused"
        )


def _give(ids: list[UUID], at: datetime, run: UUID) -> Totals:
    try:
        return operations.allocate_due(balance_ids=ids, at=at, run=run)
    except OperationalError as fault:
        if getattr(fault.__cause__, "sqlstate", None) != operations.LOCK_NOT_AVAILABLE:
            raise
        if len(ids) == 1:
            return Totals(subscriptions=1, refused=[(ids[0], "busy")])
    # Somebody holds one of them: halve until the others are through.
    middle = len(ids) // 2
    totals = _give(ids[:middle], at, run)
    totals.add(_give(ids[middle:], at, run))
    return totals


def _chunks(at: datetime, tier: str | None, size: int) -> Iterator[list[Subscription]]:
    """Yield what is due in ranges of the key, so that no position is lost when a chunk changes what is due."""
    after: UUID | None = None
    while found := list(queries.due(at=at, tier=tier, after=after)[:size]):
        yield found
        after = found[-1].pk
