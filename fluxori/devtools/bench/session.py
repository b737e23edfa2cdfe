"""What all sections share: the sizes, users with many credits, a server, and requests to it.

``BenchSession`` is one run on its own database. ``Server`` runs the load generator in a process of its own: wrk where
it is installed, otherwise ``fluxori.devtools.bench.load``.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any, Self
from uuid import UUID

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX

from credits import operations
from fluxori.core import clock
from fluxori.devtools.bench import databases, reference, seeding, wrk
from fluxori.devtools.bench.figures import Figures
from fluxori.devtools.bench.load import Measured, NoResponseError, Plan
from fluxori.devtools.demo import server
from fluxori.identity import tokens
from fluxori.identity.models import User
from tiers import operations as tiers

DEDUCTION = json.dumps({"feature": "simple-ai-insight", "referenceId": "bench"})
INITIAL_CREDITS = 10**11
# The first requests import modules and open a database connection for every thread.
WARM_UP_SECONDS = 5.0
NAIVE_APPLICATION = "fluxori.devtools.bench.naive.wsgi:application"

# Seconds after which a new access token is issued. A token stays valid for longer than this and a measurement.
_TOKEN_SECONDS = 300.0

# The throttles count requests, and reject none.
_SERVER_ENVIRONMENT = {"THROTTLE_USER": "1000000000", "THROTTLE_SERVICE": "1000000000", "LOG_LEVEL": "WARNING"}


# The number of deductions of each balance before the measurement.
_INITIAL_DEDUCTIONS = 20


class UnexpectedResultError(Exception):
    """A response, or the ledger, is not as expected, so the measurement is not valid."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured, and how often. ``seconds`` is the duration of one measurement."""

    repeats: int = 3
    seconds: float = 3.0
    balances: int = 200
    connections: tuple[int, ...] = (1, 16, 64)
    batches: tuple[int, ...] = (8, 64, 512)
    history: int = 1_000_000
    subscriptions: tuple[int, ...] = (100_000, 1_000_000)
    growth: tuple[int, ...] = (10_000, 1_000_000)
    verified: int = 200_000
    grants: tuple[int, ...] = (1, 100, 3_000, 100_000)
    minutes: int = 10


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
    grants=(1, 100),
    minutes=2,
)


@dataclass(slots=True)
class BenchSession:
    """One run of the benchmarks, on its own database. The last of the ``users`` has the hot balance.

    ``ledgers`` names databases that were filled before; the section ``growth`` compares them with each other.
    """

    sizes: Sizes
    figures: Figures
    ledgers: tuple[str, ...] = ()
    server_name: str = server.GRANIAN
    users: list[User] = field(default_factory=list)
    _server: "Server | None" = None
    _naive: "Server | None" = None
    _closing: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def server(self) -> "Server":
        """Return a server on this database, as in production, with the no-op endpoint of the benchmarks."""
        if self._server is None:
            port = server.free_port(None)
            environ = {"DJANGO_SETTINGS_MODULE": "fluxori.devtools.bench.settings", **_SERVER_ENVIRONMENT}
            process = self._closing.enter_context(server.serving(port, environ=environ, server=self.server_name))
            self._server = Server(port, self.sizes.seconds, process.pid)
            # Warm up every thread of every worker: imports and database connections.
            self._server.deduct(self.many, 64, seconds=WARM_UP_SECONDS)
        return self._server

    def naive_server(self) -> "Server":
        """Return a server of the naive application, on a database of its own, with as many users as this session."""
        if self._naive is None:
            url = databases.url(self._closing.enter_context(databases.empty()))
            filled = subprocess.run(  # noqa: S603 (runs the current interpreter)
                [sys.executable, "-m", "fluxori.devtools.bench.naive.fill", str(len(self.users))],
                env={**os.environ, "DATABASE_URL": url},
                cwd=server.PROJECT,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            port = server.free_port(None)
            process = self._closing.enter_context(
                server.serving(
                    port, environ={"DATABASE_URL": url}, server=self.server_name, application=NAIVE_APPLICATION
                )
            )
            self._naive = Server(port, self.sizes.seconds, process.pid, dict(enumerate(json.loads(filled.stdout))))
            self._naive.send(
                list(self._naive.issued.values()), "/deduct", 64, seconds=WARM_UP_SECONDS, body=DEDUCTION, keys=True
            )
        return self._naive

    def fill(self) -> None:
        """Create the users, each with a subscription and many credits."""
        self.users = [
            User(email=f"bench-{token_hex(4)}-{number}@bench.fluxori.example", password=UNUSABLE_PASSWORD_PREFIX)
            for number in range(self.sizes.balances + 1)
        ]
        User.objects.bulk_create(self.users)
        for user in self.users:
            tiers.initialize_balance(owner=user, tier="enterprise", initial_balance=INITIAL_CREDITS)
        for user in self.users:
            deduct_batch(user, [f"fill-{number}" for number in range(_INITIAL_DEDUCTIONS)])
        reference.install([user.pk for user in self.users])
        # A database in production has table statistics.
        seeding.analyze()

    @property
    def many(self) -> list[User]:
        return self.users[:-1]

    @property
    def hot(self) -> User:
        return self.users[-1]


def deduct_batch(owner: User, keys: Sequence[str]) -> int:
    """Deduct once for each key from one balance, in one call. Return the number of deductions."""
    deductions = [
        operations.Deduction(feature="simple-ai-insight", reference_id="bench", actor=owner, idempotency_key=key)
        for key in keys
    ]
    outcomes = operations.deduct_many(owner=owner, deductions=deductions, at=clock.now())
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return len(outcomes)


@dataclass(slots=True)
class Server:
    """A running server, and the requests to it."""

    port: int
    seconds: float
    process_id: int
    issued: dict[int, str] = field(default_factory=dict)
    _tokens: dict[UUID, tuple[str, float]] = field(default_factory=dict)

    def run_load(self, users: Sequence[User], path: str, connections: int, **options: Any) -> Measured:
        """Send requests to ``path`` with the tokens of the users, and return the measurement.

        :raises UnexpectedResultError: a response has another status than the expected one
        """
        return self.send([self._token(user) for user in users], path, connections, **options)

    def send(self, access_tokens: Sequence[str], path: str, connections: int, **options: Any) -> Measured:
        """Send requests to ``path`` with these access tokens, and return the measurement.

        ``own_client`` uses the client of the benchmarks also where wrk is installed.

        :raises UnexpectedResultError: a response has another status than the expected one
        """
        own_client = options.pop("own_client", False) or not wrk.can_run(options)
        options = {"seconds": self.seconds, **options}
        plan = Plan(port=self.port, connections=connections, tokens=list(access_tokens), path=path, **options)
        measured = _run_own_client(plan) if own_client else _run_wrk(plan)
        if measured.unexpected or not measured.completed:
            problem = measured.unexpected or "no response in time"
            raise UnexpectedResultError(f"{plan.method} {path}: {problem} {measured.sample}")
        return measured

    def deduct(self, users: Sequence[User], connections: int, **options: Any) -> Measured:
        return self.run_load(users, "/api/credits/deduct", connections, body=DEDUCTION, keys=True, **options)

    def memory(self) -> float:
        """Return the memory of the processes of the server in megabytes. What they share counts once."""
        children = Path(f"/proc/{self.process_id}/task/{self.process_id}/children").read_text().split()
        return sum(_memory_of(int(pid)) for pid in [self.process_id, *children]) / 1024

    def _token(self, user: User) -> str:
        token, renew_at = self._tokens.get(user.pk, ("", 0.0))
        if time.monotonic() > renew_at:
            token = tokens.issue(user).access
            self._tokens[user.pk] = token, time.monotonic() + _TOKEN_SECONDS
        return token


def _memory_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _run_wrk(plan: Plan) -> Measured:
    try:
        return wrk.run_load(plan)
    except NoResponseError as error:
        raise UnexpectedResultError(str(error)) from error


def _run_own_client(plan: Plan) -> Measured:
    completed = subprocess.run(
        [sys.executable, "-m", "fluxori.devtools.bench.load"],
        check=False,
        input=json.dumps(asdict(plan)),
        capture_output=True,
        text=True,
        timeout=plan.seconds + plan.warm_up + 120,
    )
    if completed.returncode:
        raise UnexpectedResultError(completed.stderr[-2000:])
    return Measured(**json.loads(completed.stdout))
