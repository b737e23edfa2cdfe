"""``manage.py postgres``: what people may ask of the embedded servers."""

# ruff: noqa: S603 (every command that is run here is put together here)

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import TextIO

from fluxori.devtools.embedded_postgres.cluster import Cluster
from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError
from fluxori.devtools.embedded_postgres.provision import DATABASE, cluster_of, join

# As pg_ctl has it.
STOPPED = 3


def run(arguments: Sequence[str]) -> int:
    """Do what is asked and return the exit status; of ``status``, 3 if the server does not run."""
    # What follows psql is psql's, options included, which argparse would take for its own.
    ours = arguments.index("psql") + 1 if "psql" in arguments else len(arguments)
    asked = _parser().parse_args(arguments[:ours])
    try:
        cluster = cluster_of("test" if asked.test else "dev")
        match asked.act:
            case "status":
                return _status(cluster)
            case "stop":
                return _stop(cluster)
            case _:
                return _psql(cluster, arguments[ours:])
    except (EmbeddedPostgresError, OSError) as fault:
        _say(f"{fault}", to=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="manage.py postgres",
        description="The database server that is used while DATABASE_URL is unset. It starts and stops by itself.",
        allow_abbrev=False,
    )
    parser.add_argument("--test", action="store_true", help="the throw-away server of the tests instead")
    acts = parser.add_subparsers(dest="act", required=True)
    acts.add_parser("status", help="say whether it runs, and where; exit status 3 if it does not")
    acts.add_parser("stop", help="stop it, whoever uses it")
    acts.add_parser("psql", help="open psql in the database; what follows is psql's")
    return parser


def _status(cluster: Cluster) -> int:
    alive = cluster.is_alive()
    state = "does not run" if not alive else "runs" if cluster.answers() else "starts or stops at this moment"
    users = ", in use" if cluster.is_in_use() else ""
    _say(f"PostgreSQL {cluster.binaries.major} {state}{users}")
    _say(f"data      {cluster.data}" + ("" if cluster.data.exists() else " (not made yet)"))
    _say(f"log       {cluster.log}")
    _say(f"programs  {cluster.binaries.folder}")
    _say(f"account   {cluster.account}")
    if alive:
        _say(f"URL       {cluster.url(DATABASE)}")
    return 0 if alive else STOPPED


def _stop(cluster: Cluster) -> int:
    if not cluster.is_alive():
        _say("It does not run.")
        return 0
    with cluster.turn():
        cluster.stop()
    _say("Stopped.")
    return 0


def _psql(cluster: Cluster, arguments: Sequence[str]) -> int:
    join(cluster)
    # As a child, not in our place: we hold the lock that keeps the server up. Ctrl-C is for psql.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = cluster.binaries.folder / "psql"
    return subprocess.run([str(program), cluster.url(DATABASE), *arguments], check=False).returncode


def _say(words: str, to: TextIO | None = None) -> None:
    print(words, file=to or sys.stdout)
