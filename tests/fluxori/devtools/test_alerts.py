"""Every alert is made to fire by its cause: the real server and database, and a real Prometheus that scrapes them.

The rules are those of ``deploy/prometheus/alerts.yml``, with seconds in place of minutes. Where a rule waits for hours
to pass, the records of the jobs are dated back instead.
"""

import json
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import psycopg
import pytest
import yaml

from fluxori.devtools.demo import server as demo_server
from tests.support.private_cluster import Server, temporary_server
from tests.support.subprocess_project import REAL, free_port
from tests.support.threads import wait_until

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]

RULES = yaml.safe_load((REAL / "deploy/prometheus/alerts.yml").read_text())
TOKEN = "the token of the metrics of this drill"
LOCK_TIMEOUT_SECONDS = 3
MAX_CONNECTIONS = 60
CALLERS = 12

# Creates one user with a balance, and prints an access token.
PREPARE = """
import django
django.setup()
from credits import operations
from fluxori.core import clock
from fluxori.identity import tokens
from fluxori.identity.models import User
user = User.objects.create(email="ann@example.test")
operations.add_credits(owner=user, amount=10**9, type="purchase", at=clock.now())
print(tokens.issue(user).access)
"""
# Subscribes the user 40 days ago, so that one allocation has been due for ten days.
SUBSCRIBE = """
from datetime import timedelta
import django
django.setup()
from fluxori.core import clock
from fluxori.identity.models import User
from tiers import operations
user = User.objects.create(email="bob@example.test")
operations.initialize_balance(owner=user, tier="explorer", at=clock.now() - timedelta(days=40))
"""
JOBS = ("allocate_monthly_credits", "aggregate_usage", "verify_ledger")


class Installation:
    """The database, the server and Prometheus of the drill. ``stack`` ends the server."""

    def __init__(self, database: Server, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.access = database.script(PREPARE).strip()
        self.port = free_port()
        self.prometheus_port = free_port()
        self.stack = ExitStack()

    def start_server(self) -> None:
        (self.folder / "metrics").mkdir(exist_ok=True)
        environ = {
            "DATABASE_URL": self.database.url,
            "METRICS_TOKEN": TOKEN,
            "PROMETHEUS_MULTIPROC_DIR": str(self.folder / "metrics"),
            "LOCK_TIMEOUT_MS": str(1000 * LOCK_TIMEOUT_SECONDS),
            "OPERATION_QUEUE_LIMIT": "4",
            "THROTTLE_USER": "1000000000",
            "LOG_LEVEL": "ERROR",
        }
        self.stack.enter_context(demo_server.serving(self.port, environ=environ))

    def run_jobs(self) -> None:
        for command in JOBS:
            completed = self.database.manage(command)
            assert completed.returncode == 0, completed.stderr

    def get(self, path: str) -> int:
        return self._request(Request(f"http://127.0.0.1:{self.port}{path}"))

    def deduct(self) -> int:
        body = json.dumps({"amount": 1, "description": "Drill"}).encode()
        request = Request(f"http://127.0.0.1:{self.port}/api/credits/deduct", body)
        request.add_header("Content-Type", "application/json")
        return self._request(request)

    def _request(self, request: Request) -> int:
        request.add_header("Authorization", f"Bearer {self.access}")
        try:
            with urlopen(request, timeout=60) as response:
                return int(response.status)
        except HTTPError as error:
            return error.code
        except (URLError, OSError):
            return 0

    def is_firing(self, alert: str) -> bool:
        return alert in self.firing()

    def firing(self) -> set[str]:
        with urlopen(f"http://127.0.0.1:{self.prometheus_port}/api/v1/alerts", timeout=30) as response:
            alerts = json.load(response)["data"]["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.database.url)


def in_seconds(rules: dict[str, Any]) -> dict[str, Any]:
    """Return the rules with windows of 8 seconds and without long waits."""
    text = yaml.safe_dump(rules)
    text = re.sub(r"\[5m\]", "[8s]", text)
    text = re.sub(r"for: \d+m", "for: 2s", text)
    changed: dict[str, Any] = yaml.safe_load(text)
    return changed


@contextmanager
def prometheus(folder: Path, port: int, target: int) -> Iterator[None]:
    (folder / "alerts.yml").write_text(yaml.safe_dump(in_seconds(RULES)))
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                "rule_files": ["alerts.yml"],
                "scrape_configs": [
                    {
                        "job_name": "fluxori",
                        "authorization": {"credentials": TOKEN},
                        "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
                    }
                ],
            }
        )
    )
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with temporary_server() as database, tempfile.TemporaryDirectory(prefix="alerts") as name:
        database.run("initdb --username=postgres --auth=trust --encoding=UTF8 --locale=C >/dev/null")
        database.run(f"echo max_connections={MAX_CONNECTIONS} >>$PGDATA/postgresql.conf")
        database.start()
        database.run("createdb fluxori")
        assert database.manage("migrate", "--verbosity=0").returncode == 0
        installation = Installation(database, Path(name))
        installation.run_jobs()
        with installation.stack:
            installation.start_server()
            with prometheus(installation.folder, installation.prometheus_port, installation.port):
                wait_until(lambda: installation.get("/metrics") == 401, seconds=30)
                sleep(10)
                yield installation


@contextmanager
def repeated(call: Callable[[], object], *, callers: int = 1, pause: float = 0) -> Iterator[None]:
    """Call again and again in several threads while the block runs."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(pause):
            call()

    with ThreadPoolExecutor(callers) as pool:
        for _ in range(callers):
            pool.submit(run)
        try:
            yield
        finally:
            ended.set()


@contextmanager
def requests_without_a_table(installation: Installation) -> Iterator[None]:
    """A release whose migration is missing: a table that requests read does not exist."""
    rename = "ALTER TABLE {} RENAME TO {}"
    with installation.connect() as connection:
        connection.execute(rename.format("credits_featureprice", "elsewhere"))
    with repeated(lambda: installation.get("/api/credits/features"), pause=0.2):
        yield
    with installation.connect() as connection:
        connection.execute(rename.format("elsewhere", "credits_featureprice"))


@contextmanager
def slow_locks(installation: Installation) -> Iterator[None]:
    """Another program locks the balance for 1.8 seconds, again and again, while two callers deduct."""

    def lock() -> None:
        with installation.connect() as connection:
            connection.execute("SELECT FROM credits_creditbalance FOR UPDATE")
            sleep(1.8)

    with repeated(lock, pause=0.02), repeated(installation.deduct, callers=2):
        yield


@contextmanager
def endless_lock(installation: Installation, callers: int = 2) -> Iterator[None]:
    """A session stays in a transaction that has locked the balance."""
    with installation.connect() as connection:
        connection.execute("SELECT FROM credits_creditbalance FOR UPDATE")
        with repeated(installation.deduct, callers=callers):
            yield
            connection.rollback()


@contextmanager
def many_waiting_callers(installation: Installation) -> Iterator[None]:
    with endless_lock(installation, CALLERS):
        yield


@contextmanager
def deadlocks(installation: Installation) -> Iterator[None]:
    """A program writes to the tables of the ledger itself, in another order."""

    def collide() -> None:
        with suppress(psycopg.Error), installation.connect() as connection:
            # The server notices the deadlock first, and its transaction is the one that is run again.
            connection.execute("SET deadlock_timeout = '20s'")
            connection.execute("LOCK TABLE credits_credittransaction IN SHARE MODE")
            sleep(0.3)
            connection.execute("SELECT FROM credits_creditbalance FOR UPDATE")

    with repeated(collide, pause=0.02), repeated(installation.deduct, callers=2):
        yield


@contextmanager
def stopped_database(installation: Installation) -> Iterator[None]:
    installation.database.run("pg_ctl stop --mode=immediate --silent")
    yield
    installation.database.start()


@contextmanager
def many_connections(installation: Installation) -> Iterator[None]:
    with ExitStack() as opened, suppress(psycopg.OperationalError):
        with installation.connect() as connection:
            [used] = connection.execute("SELECT sum(numbackends) FROM pg_stat_database").fetchone() or (0,)
        for _ in range(MAX_CONNECTIONS - 3 - int(used) - 3):
            opened.enter_context(installation.connect())
        yield


@contextmanager
def allocation_that_does_not_run(installation: Installation) -> Iterator[None]:
    installation.database.script(SUBSCRIBE)
    yield
    installation.run_jobs()


@contextmanager
def dated_back(installation: Installation, table: str, hours: int) -> Iterator[None]:
    """Let the last run of a job be so many hours ago, and run it again afterwards."""
    with installation.connect() as connection:
        connection.execute(
            f"UPDATE {table} SET started_at = started_at - interval '{hours} hours',"
            f" finished_at = finished_at - interval '{hours} hours'"
        )
    yield
    installation.run_jobs()


@contextmanager
def aggregation_that_does_not_run(installation: Installation) -> Iterator[None]:
    with dated_back(installation, "credits_aggregationrun", 2):
        yield


@contextmanager
def verification_that_does_not_run(installation: Installation) -> Iterator[None]:
    with dated_back(installation, "credits_verificationrun", 37):
        yield


@contextmanager
def job_that_does_not_run(installation: Installation) -> Iterator[None]:
    """A periodic job last succeeded two hours ago, although it is due every few minutes."""

    def refresh() -> None:
        for arguments in (["defer", "refresh_dashboard", '{"timestamp": 0}'], ["worker", "--one-shot"]):
            completed = installation.database.manage("procrastinate", *arguments)
            assert completed.returncode == 0, completed.stderr

    refresh()
    with installation.connect() as connection:
        connection.execute(
            "UPDATE jobs_periodicjob SET first_run_at = first_run_at - interval '2 hours',"
            " succeeded_at = succeeded_at - interval '2 hours' WHERE name = 'refresh_dashboard'"
        )
    yield
    refresh()


@contextmanager
def changed_history(installation: Installation) -> Iterator[None]:
    """The owner of the tables changes a transaction, and the nightly verification runs."""
    change = "UPDATE credits_credittransaction SET description = description || '!' WHERE sequence = 1"
    restore = "UPDATE credits_credittransaction SET description = rtrim(description, '!') WHERE sequence = 1"
    with installation.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(change)
    assert installation.database.manage("verify_ledger").returncode == 1
    yield
    with installation.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(restore)
    installation.run_jobs()


@contextmanager
def stopped_server(installation: Installation) -> Iterator[None]:
    installation.stack.close()
    yield
    installation.start_server()


CAUSES: dict[str, Callable[[Installation], Any]] = {
    "FluxoriNoScrape": stopped_server,
    "FluxoriErrorRateHigh": requests_without_a_table,
    "FluxoriLatencyHigh": slow_locks,
    "FluxoriBusyRateHigh": endless_lock,
    "FluxoriLockWaitHigh": slow_locks,
    "FluxoriRetriesHigh": deadlocks,
    "FluxoriQueueFull": many_waiting_callers,
    "FluxoriGaugesMissing": stopped_database,
    "FluxoriConnectionsExhausted": many_connections,
    "FluxoriAllocationLate": allocation_that_does_not_run,
    "FluxoriAggregationLate": aggregation_that_does_not_run,
    "FluxoriJobLate": job_that_does_not_run,
    "FluxoriVerificationTooOld": verification_that_does_not_run,
    "FluxoriVerificationFailed": changed_history,
}


class TestAlerts:
    def test_are_silent_while_everything_works(self, installation):
        with repeated(installation.deduct, pause=0.1):
            sleep(10)

            assert installation.firing() == set()

    def test_have_a_cause_here(self):
        assert CAUSES.keys() == {rule["alert"] for rule in RULES["groups"][0]["rules"]}

    @pytest.mark.parametrize("alert", CAUSES)
    def test_fires_by_its_cause_and_ends_with_it(self, installation, alert, capfd):
        wait_until(lambda: not installation.is_firing(alert), seconds=60)

        began = monotonic()
        with CAUSES[alert](installation):
            wait_until(lambda: installation.is_firing(alert), seconds=90)
            seconds = monotonic() - began
            others = installation.firing() - {alert}
        wait_until(lambda: not installation.is_firing(alert), seconds=90)

        with capfd.disabled():
            print(f"\n{alert}: {CAUSES[alert].__name__}, after {seconds:.0f} s; also: {sorted(others)}", end="")  # noqa: T201
