"""One command that has the whole system running."""

import json as jsonlib
import signal
from argparse import ArgumentParser
from io import StringIO
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from fluxori.core import clock
from fluxori.core.command_line import Progress
from fluxori.devtools.demo import accounts, history, server
from fluxori.devtools.demo.accounts import People
from fluxori.devtools.demo.models import DemoMark
from fluxori.devtools.demo.walk import WalkFailed, walk


class Command(BaseCommand):
    help = "Fill a database with believable data, walk through the main job over HTTP, and serve until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, metavar="N", help="Fail if it is taken; default: the first free one.")
        parser.add_argument("--exit", action="store_true", help="Stop after the walk, with a true exit status.")
        parser.add_argument("--json", action="store_true", help="One line of JSON on stdout once it is ready.")
        parser.add_argument("--fresh", action="store_true", help="Drop the demo's own data first.")

    def handle(self, *, port: int | None, exit: bool, json: bool, fresh: bool, **_: Any) -> None:  # noqa: A002
        if settings.PRODUCTION:
            raise CommandError("The demo does not run with ENVIRONMENT=production.")
        signal.signal(signal.SIGTERM, _interrupt)
        self._out = self.stderr if json else self.stdout
        self._out.style_func = None
        try:
            self._run(port, stay=not exit, as_json=json, fresh=fresh)
        except KeyboardInterrupt:
            self._say("\nStopped.")
        except (server.NoServer, WalkFailed) as fault:
            raise CommandError(str(fault)) from fault

    def _run(self, wanted: int | None, *, stay: bool, as_json: bool, fresh: bool) -> None:
        port = server.free_port(wanted)
        self._say("Preparing the database ...")
        try:
            mark = accounts.claim(fresh=fresh)
        except accounts.NotOurs:
            raise CommandError(
                "This database holds data that the demo did not put there, so it is left alone."
                " Name an empty one in DATABASE_URL, or unset it."
            ) from None
        people = accounts.people(mark)
        self._seed(mark, people)
        if wanted is None and port != server.FIRST_PORT:
            self._say(f"Port {server.FIRST_PORT} is taken; using {port}.")
        with server.serving(port) as running:
            self._say("\nThe main job, over HTTP:")
            walk(people, port, self._say)
            url = f"http://127.0.0.1:{port}"
            if as_json:
                self.stdout.write(jsonlib.dumps(_facts(people, url)))
                self.stdout.flush()
            if stay:
                self._say(_where(people, url))
                status = running.wait()
                raise CommandError(f"The server stopped with status {status}.")
            self._say("\nAll as it should be.")

    def _seed(self, mark: DemoMark, people: People) -> None:
        if mark.seeded:
            return
        self._say(f"Writing {history.MONTHS} months of history ...")
        with Progress("days", stream=self.stderr, total=30 * history.MONTHS, every=2.0) as progress:
            for _ in history.seed(people, until=clock.now()):
                progress.advance()
        # What a scheduler does every few minutes: the console shows what was added up.
        for command in ("expire_credits", "aggregate_usage", "refresh_dashboard"):
            call_command(command, stdout=StringIO(), stderr=self.stderr)
        mark.seeded = True
        mark.save(update_fields=["seeded"])

    def _say(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _facts(people: People, url: str) -> dict[str, Any]:
    names = ("admin", "user", "owner", "member", "viewer", "service", "support", "lead")
    return {
        "url": url,
        **{name: getattr(people, name).as_json() for name in names},
        "organizationId": str(people.organization.pk),
        "userId": str(people.user.user.pk),
    }


def _where(people: People, url: str) -> str:
    rows = "\n".join(
        f"  {name:<8} {account.user.email:<32} {account.password}   {words}"
        for name, account, words in (
            ("admin", people.admin, "the API's admin role, and the console"),
            ("user", people.user, "four months of history"),
            ("owner", people.owner, f"owns {people.organization.name}"),
            ("member", people.member, "spends from the pool"),
            ("viewer", people.viewer, "sees the pool, cannot spend"),
            ("service", people.service, "a feature's back end"),
            ("support", people.support, "works at the console: gives up to 500 credits at once"),
            ("lead", people.lead, "leads support: approves what is above that"),
        )
    )
    return f"""
Ready. Look around:
  API docs  {url}/api/docs
  Console   {url}/admin/

Log in as:
{rows}
  organization {people.organization.name}: {people.organization.pk}

Paste this for a balance:
  {_curl(people, url)}

Ctrl-C stops it.
"""


def _curl(people: People, url: str) -> str:
    login = jsonlib.dumps({"email": people.user.user.email, "password": people.user.password})
    token = f"curl -s {url}/api/auth/token -H 'Content-Type: application/json' -d '{login}'"
    access = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access\"])'"
    return f'curl -s {url}/api/credits/balance -H "Authorization: Bearer $({token} | {access})"'
