"""Everything measured side by side, in one run."""

import json as jsonlib
import os
import platform
import signal
from argparse import ArgumentParser
from dataclasses import replace
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from fluxori.core.command_line import EXIT_FAILED, positive_argument
from fluxori.devtools.bench import databases
from fluxori.devtools.bench.figures import Figures, table
from fluxori.devtools.bench.goals import compare
from fluxori.devtools.bench.load import Unanswered
from fluxori.devtools.bench.sections import SECTIONS
from fluxori.devtools.bench.session import QUICK, Sizes, Stage, WrongAnswer
from fluxori.devtools.demo.server import NoServer


class Command(BaseCommand):
    help = (
        "Measure how fast everything is, side by side in one run: over HTTP beside a door that does nothing, in bare"
        " SQL, in process, holds, history, the monthly allocation, growth. On a throw-away database of its own, on the"
        " server that DATABASE_URL names, which must be durable. The whole takes about an hour; --quick, some seconds,"
        " shows that it works and measures nothing worth keeping."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], metavar="SECTION", help=", ".join(SECTIONS))
        parser.add_argument("--quick", action="store_true", help="Small sizes, one repeat, fractions of a second.")
        parser.add_argument("--repeats", type=positive_argument, metavar="N", help="How often each is measured.")
        parser.add_argument("--seconds", type=float, metavar="S", help="How long one measurement takes.")
        parser.add_argument("--balances", type=positive_argument, metavar="N", help="How many are many.")
        parser.add_argument("--history", type=positive_argument, metavar="N", help="Transactions of the long history.")
        parser.add_argument(
            "--subscriptions", type=positive_argument, nargs="+", metavar="N", help="How many are allocated."
        )
        parser.add_argument(
            "--growth", type=positive_argument, nargs="+", metavar="N", help="Transactions in the ledgers compared."
        )
        parser.add_argument(
            "--ledgers",
            nargs="+",
            default=[],
            metavar="DATABASE",
            help="Databases of the same server to compare for growth, filled by seed_ledger, instead of making some.",
        )
        parser.add_argument("--keep", action="store_true", help="Leave the database there, and say its name.")
        parser.add_argument("--json", action="store_true", help="One JSON object on stdout; progress on stderr.")

    def handle(
        self, *, sections: list[str], quick: bool, ledgers: list[str], keep: bool, json: bool, **options: Any
    ) -> None:
        if settings.PRODUCTION:
            raise CommandError("Nothing is measured where ENVIRONMENT=production.", returncode=EXIT_FAILED)
        if "DATABASE_URL" not in os.environ:
            raise CommandError("DATABASE_URL must name the server; manage.py sets it where it starts one.")
        # So that the server that was started, and the database, go when we are told to go.
        signal.signal(signal.SIGTERM, _interrupt)
        sizes = _sizes(QUICK if quick else Sizes(), options)
        figures = Figures(self._say)
        databases.drop_left_overs()
        try:
            with databases.throw_away(keep=keep) as name, Stage(sizes, figures, tuple(ledgers)) as stage:
                stage.fill()
                for section in sections or SECTIONS:
                    self._say(f"\n{section}")
                    SECTIONS[section](stage)
                facts = _facts(sizes)
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=EXIT_FAILED) from None
        except (databases.NotDurable, NoServer, Unanswered, WrongAnswer) as fault:
            raise CommandError(f"{type(fault).__name__}: {fault}", returncode=EXIT_FAILED) from fault
        compare(figures, subscriptions=sizes.subscriptions)
        if keep:
            self._say(f"\nKept: {name}")
        self._tell(figures, facts, as_json=json)

    def _say(self, words: str) -> None:
        self.stderr.write(words, style_func=str)
        self.stderr.flush()

    def _tell(self, figures: Figures, facts: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            found = [figure.as_json() for figure in figures.found]
            self.stdout.write(jsonlib.dumps({**facts, "figures": found, "notes": figures.notes}))
            return
        told = ", ".join(f"{name} {value}" for name, value in facts.items())
        self.stdout.write(f"{told}\nMedian of the repeats, and half of how far they lie apart.")
        self.stdout.write(table(figures.found))
        self.stdout.write("\n".join(["", *figures.notes]))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _sizes(sizes: Sizes, options: dict[str, Any]) -> Sizes:
    given = {name: options[name] for name in ("repeats", "seconds", "balances", "history") if options[name]}
    given |= {name: tuple(options[name]) for name in ("subscriptions", "growth") if options[name]}
    return replace(sizes, **given)


def _facts(sizes: Sizes) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        (version,) = cursor.fetchone()
    return {
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "postgresql": version,
        "repeats": sizes.repeats,
        "seconds": sizes.seconds,
    }
