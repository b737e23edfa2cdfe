"""What every section stands on: sizes, people with plenty of credits, a server, and a load to put on it."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from secrets import token_hex
from typing import Any, Self
from uuid import UUID

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX

from credits import operations
from fluxori.core import clock
from fluxori.devtools.bench import reference, seeding
from fluxori.devtools.bench.figures import Figures
from fluxori.devtools.bench.load import Measured, Plan
from fluxori.devtools.demo import server
from fluxori.identity import tokens
from fluxori.identity.models import User
from tiers import operations as tiers

DEDUCTION = json.dumps({"feature": "simple-ai-insight", "referenceId": "bench"})
PLENTY = 10**11

# Seconds. Access tokens last longer than this, and longer than a measurement on top.
_TOKEN_LASTS = 300.0

# Throttles count as ever, and never say no.
_UNHINDERED = {"THROTTLE_USER": "1000000000", "THROTTLE_SERVICE": "1000000000", "LOG_LEVEL": "WARNING"}


# Deductions that each balance has behind it.
_LIVED = 20


class WrongAnswer(Exception):
    """The server answered otherwise than it must; nothing measured counts."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured, and how often. ``seconds`` is the time of one measurement under load."""

    repeats: int = 3
    seconds: float = 3.0
    balances: int = 200
    connections: tuple[int, ...] = (1, 16, 64)
    batches: tuple[int, ...] = (8, 64, 512)
    history: int = 1_000_000
    subscriptions: tuple[int, ...] = (100_000, 1_000_000)
    growth: tuple[int, ...] = (10_000, 1_000_000)
    verified: int = 200_000


QUICK = Sizes(
    repeats=1,
    seconds=0.4,
    balances=20,
    connections=(1, 16, 64),
    batches=(8, 64),
    history=2_000,
    subscriptions=(300,),
    growth=(1_000, 4_000),
    verified=2_000,
)


@dataclass(slots=True)
class Stage:
    """One run of the bench, on its own database. The last of the ``people`` has the hot balance.

    ``ledgers`` are databases that were filled before, to be compared with each other.
    """

    sizes: Sizes
    figures: Figures
    ledgers: tuple[str, ...] = ()
    people: list[User] = field(default_factory=list)
    _server: "Server | None" = None
    _closing: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def server(self) -> "Server":
        """Return a server of this database, as in production, the bench's own doors beside the others."""
        if self._server is None:
            port = server.free_port(None)
            environ = {"DJANGO_SETTINGS_MODULE": "fluxori.devtools.bench.settings", **_UNHINDERED}
            self._closing.enter_context(server.serving(port, environ=environ))
            self._server = Server(port, self.sizes.seconds)
            # Let every thread of every worker have answered once: code is imported, connections are open.
            self._server.deduct(self.many, 64)
        return self._server

    def fill(self) -> None:
        """Open the balances that are spent from, each with a subscription and plenty of credits."""
        self.people = [
            User(email=f"bench-{token_hex(4)}-{number}@bench.fluxori.example", password=UNUSABLE_PASSWORD_PREFIX)
            for number in range(self.sizes.balances + 1)
        ]
        User.objects.bulk_create(self.people)
        for person in self.people:
            tiers.initialize_balance(owner=person, tier="enterprise", initial_balance=PLENTY)
        for person in self.people:
            spend(person, [f"fill-{number}" for number in range(_LIVED)])
        reference.install([person.pk for person in self.people])
        # What a database that has lived a while knows by itself: how its tables are filled.
        seeding.analyze()

    @property
    def many(self) -> list[User]:
        return self.people[:-1]

    @property
    def hot(self) -> User:
        return self.people[-1]


def spend(owner: User, keys: Sequence[str]) -> int:
    """Deduct once for each key, all from one balance, and return how many that were."""
    asked = [
        operations.Deduction(feature="simple-ai-insight", reference_id="bench", actor=owner, idempotency_key=key)
        for key in keys
    ]
    outcomes = operations.deduct_many(owner=owner, deductions=asked, at=clock.now())
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return len(outcomes)


@dataclass(slots=True)
class Server:
    """A server that runs, and what it is asked."""

    port: int
    seconds: float
    _tokens: dict[UUID, tuple[str, float]] = field(default_factory=dict)

    def put(self, people: Sequence[User], path: str, connections: int, **more: Any) -> Measured:
        """Let the people ask for ``path`` over some connections, and return what was measured.

        :raises WrongAnswer: if any answer's status was not the one expected
        """
        callers = [self._token(person) for person in people]
        plan = Plan(port=self.port, connections=connections, seconds=self.seconds, tokens=callers, path=path, **more)
        done = subprocess.run(
            [sys.executable, "-m", "fluxori.devtools.bench.load"],
            check=False,
            input=json.dumps(asdict(plan)),
            capture_output=True,
            text=True,
            timeout=plan.seconds + plan.warm + 120,
        )
        if done.returncode:
            raise WrongAnswer(done.stderr[-2000:])
        measured = Measured(**json.loads(done.stdout))
        if measured.unexpected or not measured.answered:
            raise WrongAnswer(f"{plan.method} {path}: {measured.unexpected or 'no answer in time'} {measured.sample}")
        return measured

    def deduct(self, people: Sequence[User], connections: int) -> Measured:
        return self.put(people, "/api/credits/deduct", connections, body=DEDUCTION, keys=True)

    def _token(self, person: User) -> str:
        token, until = self._tokens.get(person.pk, ("", 0.0))
        if time.monotonic() > until:
            token = tokens.issue(person).access
            self._tokens[person.pk] = token, time.monotonic() + _TOKEN_LASTS
        return token
