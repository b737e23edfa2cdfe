import json
import os
import subprocess
import sys

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from credits import verification
from credits.models import CreditTransaction
from fluxori.core import clock
from fluxori.devtools.bench import baselines, databases, reference, set_based_allocation
from fluxori.devtools.bench.databases import MARK, conninfo
from fluxori.devtools.bench.figures import Figures
from fluxori.devtools.bench.sections import NOT_BY_DEFAULT, SECTIONS
from fluxori.devtools.bench.sections.allocation import subscribe
from fluxori.devtools.bench.session import QUICK, BenchSession, deduct_batch
from tests.support.subprocess_project import REAL, SHELL
from tiers.models import MonthlyAllocation, Subscription


def differences():
    return [difference for findings in verification.verify_all(chunk=50) for difference in findings.differences]


def marked_databases():
    """Return the names of the benchmark databases on the server of the tests."""
    with psycopg.connect(conninfo("postgres")) as server:
        rows = server.execute(
            "SELECT datname FROM pg_database WHERE shobj_description(oid, 'pg_database') = %s", [MARK]
        )
        return {name for (name,) in rows}


def usages():
    """Return the deductions since the session was filled, in order."""
    rows = CreditTransaction.objects.filter(type="usage")
    return rows.exclude(idempotency_key__startswith="fill-").order_by("sequence")


@pytest.fixture
def session():
    session = BenchSession(QUICK, Figures(lambda _: None))
    session.fill()
    return session


@pytest.mark.django_db
class TestReference:
    """The implementations that the benchmarks compare with write the same rows as the ledger."""

    def test_sql_function_writes_a_valid_deduction_once_per_key(self, session):
        with connection.cursor() as cursor:
            for key in ("a", "b", "a"):
                cursor.execute("SELECT bench_deduct(1, 9, %s)", [key])

        assert [(row.amount, row.idempotency_key) for row in usages()] == [(-9, "a"), (-9, "b")]
        assert differences() == []

    def test_naive_orm_writes_a_valid_deduction_once_per_key(self, session):
        for key in ("a", "b", "a"):
            baselines.naive_deduct(owner_id=session.hot.pk, key=key, at=clock.now())

        assert usages().count() == 2
        assert differences() == []

    def test_batch_deducts_once_for_each_key(self, session):
        assert deduct_batch(session.hot, ["a", "b", "c"]) == 3

        assert usages().filter(balance=session.hot.pk).count() == 3

    def test_set_based_sql_allocates_the_same_as_the_command(self, session):
        subscribe(25, name="bare")

        set_based_allocation.allocate(at=clock.now())

        assert MonthlyAllocation.objects.filter(tier="bench", period=1, credits=400).count() == 25
        assert not Subscription.objects.filter(tier="bench", next_allocation_at__lte=clock.now()).exists()
        assert differences() == []
        call_command("allocate_monthly_credits")
        assert MonthlyAllocation.objects.count() == 25


@pytest.mark.django_db(transaction=True)
class TestBench:
    def test_rejects_a_server_that_is_not_durable(self):
        with pytest.raises(CommandError, match="NotDurableError: fsync is off"):
            call_command("bench", "--quick")

        assert marked_databases() == set()

    def test_does_not_run_in_production(self, settings):
        settings.PRODUCTION = True

        with pytest.raises(CommandError, match="production"):
            call_command("bench", "--quick")

    def test_drops_only_the_databases_of_killed_runs(self):
        with psycopg.connect(conninfo("postgres"), autocommit=True) as server:
            server.execute("CREATE DATABASE fluxori_bench_stale")
            server.execute(f"COMMENT ON DATABASE fluxori_bench_stale IS '{MARK}'")
            server.execute("CREATE DATABASE fluxori_bench_other")
            try:
                databases.drop_stale()

                rows = server.execute("SELECT datname FROM pg_database WHERE datname ~ '^fluxori_bench_'").fetchall()
                assert rows == [("fluxori_bench_other",)]
            finally:
                server.execute("DROP DATABASE IF EXISTS fluxori_bench_stale")
                server.execute("DROP DATABASE fluxori_bench_other")

    def test_finds_an_executable_pgbench(self):
        assert os.access(reference.program(), os.X_OK)


@pytest.mark.slow
class TestQuickBench:
    def test_measures_every_section_and_reports_each_goal(self):
        completed = subprocess.run(
            [sys.executable, "manage.py", "bench", "--quick", "--json"],
            check=False,
            cwd=REAL,
            env=SHELL,
            capture_output=True,
            text=True,
            timeout=600,
        )

        assert completed.returncode == 0, completed.stderr
        figures = json.loads(completed.stdout)["figures"]
        assert {figure["section"] for figure in figures} == {*SECTIONS, "ratios"} - {*NOT_BY_DEFAULT}
        assert all(figure["median"] > 0 for figure in figures)
        with_goal = [figure for figure in figures if "goal" in figure]
        assert len(with_goal) >= 12
        assert all(figure["reached"] in {True, False} for figure in with_goal)
