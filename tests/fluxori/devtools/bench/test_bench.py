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
from fluxori.devtools.bench.sections import SECTIONS
from fluxori.devtools.bench.sections.allocation import subscribe
from fluxori.devtools.bench.session import QUICK, Stage, spend
from tests.support.subprocess_project import REAL, SHELL
from tiers.models import MonthlyAllocation, Subscription


def differences():
    return [found for findings in verification.verify_all(chunk=50) for found in findings.differences]


def marked():
    """Return the names of the bench's databases on the tests' server."""
    with psycopg.connect(conninfo("postgres")) as server:
        found = server.execute(
            "SELECT datname FROM pg_database WHERE shobj_description(oid, 'pg_database') = %s", [MARK]
        )
        return {name for (name,) in found}


def spent():
    """Return what was spent since the stage was filled, in order."""
    usages = CreditTransaction.objects.filter(type="usage")
    return usages.exclude(idempotency_key__startswith="fill-").order_by("sequence")


@pytest.fixture
def stage():
    made = Stage(QUICK, Figures(lambda _: None))
    made.fill()
    return made


@pytest.mark.django_db
class TestReference:
    """What is compared with writes what the ledger writes, so that it may be compared."""

    def test_writes_a_valid_deduction_in_one_trip(self, stage):
        with connection.cursor() as cursor:
            for key in ("a", "b", "a"):
                cursor.execute("SELECT bench_deduct(1, 9, %s)", [key])

        assert [(row.amount, row.idempotency_key) for row in spent()] == [(-9, "a"), (-9, "b")]
        assert differences() == []

    def test_writes_a_valid_deduction_row_by_row(self, stage):
        for key in ("a", "b", "a"):
            baselines.naive_deduct(owner_id=stage.hot.pk, key=key, at=clock.now())

        assert spent().count() == 2
        assert differences() == []

    def test_deducts_once_for_each_key_of_a_batch(self, stage):
        assert spend(stage.hot, ["a", "b", "c"]) == 3

        assert spent().filter(balance=stage.hot.pk).count() == 3

    def test_allocates_in_bare_sql_what_the_command_would(self, stage):
        subscribe(25, name="bare")

        set_based_allocation.allocate(at=clock.now())

        assert MonthlyAllocation.objects.filter(tier="bench", period=1, credits=400).count() == 25
        assert not Subscription.objects.filter(tier="bench", next_allocation_at__lte=clock.now()).exists()
        assert differences() == []
        call_command("allocate_monthly_credits")
        assert MonthlyAllocation.objects.count() == 25


@pytest.mark.django_db(transaction=True)
class TestBench:
    def test_measures_nothing_on_a_server_that_forgets(self):
        with pytest.raises(CommandError, match="NotDurable: fsync is off"):
            call_command("bench", "--quick")

        assert marked() == set()

    def test_never_runs_in_production(self, settings):
        settings.PRODUCTION = True

        with pytest.raises(CommandError, match="production"):
            call_command("bench", "--quick")

    def test_drops_what_a_killed_run_has_left_and_nothing_else(self):
        with psycopg.connect(conninfo("postgres"), autocommit=True) as server:
            server.execute("CREATE DATABASE fluxori_bench_left")
            server.execute(f"COMMENT ON DATABASE fluxori_bench_left IS '{MARK}'")
            server.execute("CREATE DATABASE fluxori_bench_mine")
            try:
                databases.drop_left_overs()

                found = server.execute("SELECT datname FROM pg_database WHERE datname ~ '^fluxori_bench_'").fetchall()
                assert found == [("fluxori_bench_mine",)]
            finally:
                server.execute("DROP DATABASE IF EXISTS fluxori_bench_left")
                server.execute("DROP DATABASE fluxori_bench_mine")

    def test_finds_pgbench_where_the_programs_of_the_database_are(self):
        assert os.access(reference.program(), os.X_OK)


@pytest.mark.slow
class TestBenchAsAPersonRunsIt:
    def test_measures_every_section_and_says_which_goals_are_reached(self):
        done = subprocess.run(
            [sys.executable, "manage.py", "bench", "--quick", "--json"],
            check=False,
            cwd=REAL,
            env=SHELL,
            capture_output=True,
            text=True,
            timeout=600,
        )

        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert {figure["section"] for figure in answer["figures"]} == {*SECTIONS, "ratios"}
        assert all(figure["median"] > 0 for figure in answer["figures"])
        asked = [figure for figure in answer["figures"] if "goal" in figure]
        assert len(asked) >= 12
        assert all(figure["reached"] in {True, False} for figure in asked)
