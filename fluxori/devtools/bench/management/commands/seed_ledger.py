"""``manage.py seed_ledger``: create a large, valid ledger, for benchmarks and for exploring."""

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from credits.models import CreditBalance
from fluxori.core import clock
from fluxori.core.command_line import EXIT_FAILED, Progress, positive_argument, timestamp_argument
from fluxori.db.operator_command import OperatorCommand
from fluxori.devtools.bench import seeding
from fluxori.devtools.bench.seeding import RowCounts
from fluxori.identity.models import Organization, User

_DAYS_A_MONTH = 30


class Command(OperatorCommand):
    help = (
        "Create a large, valid ledger: users and organizations, months of allocations, purchases, promotions, usage of"
        " every feature, holds, refunds and expiries. The same --seed and --at give the same owners, transactions,"
        " amounts and timestamps; the ids of the rows are new each time. It never runs in production, and in a database"
        " with other data only with --add."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--transactions",
            type=positive_argument,
            required=True,
            metavar="N",
            help="About how many transactions, in total.",
        )
        parser.add_argument(
            "--balances",
            type=positive_argument,
            metavar="N",
            help="Number of balances; default: one per hundred transactions.",
        )
        parser.add_argument(
            "--hot", type=positive_argument, default=0, metavar="N", help="Add one balance with this many transactions."
        )
        parser.add_argument(
            "--months", type=positive_argument, default=6, metavar="N", help="Length of the history; default 6."
        )
        parser.add_argument("--at", type=timestamp_argument, metavar="TIME", help="End of the history; default: now.")
        parser.add_argument("--seed", type=int, default=1, metavar="N", help="Seed of the random generator; default 1.")
        parser.add_argument("--processes", type=positive_argument, metavar="N", help="Default: one per processor.")
        parser.add_argument("--add", action="store_true", help="Add the ledger to a database with other data.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object on stdout.")

    def handle(
        self,
        *,
        transactions: int,
        balances: int | None,
        hot: int,
        months: int,
        at: datetime | None,
        seed: int,
        processes: int | None,
        add: bool,
        json: bool,
        **_: Any,
    ) -> None:
        if at is not None and at > clock.now():
            raise CommandError(f"--at {at.isoformat()} is in the future.", returncode=EXIT_FAILED)
        self._check_database(seed, add=add)
        until = (at or clock.now()).replace(microsecond=0)
        work = list(
            seeding.split_work(
                transactions=transactions,
                balances=balances or max(transactions // 100, 1),
                hot=hot,
                seed=seed,
                begin=until - timedelta(days=_DAYS_A_MONTH * months),
                until=until,
            )
        )
        processes = min(processes or seeding.default_processes(), len(work))
        total = RowCounts()
        with Progress("transactions", stream=self.stderr, total=transactions + hot) as progress:
            for counts in seeding.seed(work, processes=processes):
                total.add(counts)
                progress.advance(counts.transactions)
        seconds = self.seconds
        seeding.analyze()
        self._print_results(total, seconds, hot_email=f"{seed}-hot@{seeding.DOMAIN}" if hot else None, as_json=json)

    def _check_database(self, seed: int, *, add: bool) -> None:
        if settings.PRODUCTION:
            raise CommandError("seed_ledger does not run with ENVIRONMENT=production.", returncode=EXIT_FAILED)
        if seeding.is_seeded(seed):
            raise CommandError(f"This database already contains the ledger of seed {seed}. Use another --seed.")
        if not add and any(model.objects.exists() for model in (User, Organization, CreditBalance)):
            raise CommandError(
                "This database contains other data. Set DATABASE_URL to an empty database, or use --add."
            )

    def _print_results(self, total: RowCounts, seconds: float, *, hot_email: str | None, as_json: bool) -> None:
        rate = round(total.transactions / seconds)
        if as_json:
            self.write_json({**total.as_json(), "perSecond": rate, "hot": hot_email})
            return
        self.stdout.write(
            f"{total.balances:,} balances, {total.transactions:,} transactions, {total.entries:,} entries,"
            f" {total.grants:,} grants, {total.holds:,} holds in {seconds:.1f} s: {rate:,} transactions/s"
        )
        if hot_email:
            self.stdout.write(f"The hot balance belongs to {hot_email}")
