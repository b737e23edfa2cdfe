"""``manage.py postgres``: show, stop and query the embedded servers."""

# ruff: noqa: S603 (all commands are built in this module)

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import TextIO

from fluxori.devtools.embedded_postgres.cluster import Cluster
from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError
from fluxori.devtools.embedded_postgres.provision import DATABASE, cluster_of, use

# The exit status of pg_ctl for a server that is not running.
NOT_RUNNING = 3


def run(arguments: Sequence[str]) -> int:
    """Run the subcommand and return its exit status."""
    # All arguments after "psql" belong to psql, so they are not parsed here.
    end = arguments.index("psql") + 1 if "psql" in arguments else len(arguments)
    options = _parser().parse_args(arguments[:end])
    try:
        cluster = cluster_of("test" if options.test else "dev")
        match options.subcommand:
            case "status":
                return _status(cluster)
            case "stop":
                return _stop(cluster)
            case _:
                return _psql(cluster, arguments[end:])
    except (EmbeddedPostgresError, OSError) as error:
        _print(str(error), to=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="manage.py postgres",
        description="The database server that is used if DATABASE_URL is not set. It starts and stops automatically.",
        allow_abbrev=False,
    )
    parser.add_argument("--test", action="store_true", help="use the server of the tests instead")
    subcommands = parser.add_subparsers(dest="subcommand", required=True)
    subcommands.add_parser("status", help="show the state and the files of the server; exit status 3 if it is stopped")
    subcommands.add_parser("stop", help="stop the server, even if it is in use")
    subcommands.add_parser("psql", help="open psql in the database; all further arguments are passed to psql")
    return parser


def _status(cluster: Cluster) -> int:
    alive = cluster.is_alive()
    state = "is stopped" if not alive else "is running" if cluster.answers() else "is starting or stopping"
    users = ", in use" if cluster.is_in_use() else ""
    _print(f"PostgreSQL {cluster.binaries.major} {state}{users}")
    _print(f"data      {cluster.data}" + ("" if cluster.data.exists() else " (does not exist yet)"))
    _print(f"log       {cluster.log}")
    _print(f"programs  {cluster.binaries.folder}")
    _print(f"account   {cluster.account}")
    if alive:
        _print(f"URL       {cluster.url(DATABASE)}")
    return 0 if alive else NOT_RUNNING


def _stop(cluster: Cluster) -> int:
    if not cluster.is_alive():
        _print("The server is not running.")
        return 0
    with cluster.start_lock():
        cluster.stop()
    _print("Stopped.")
    return 0


def _psql(cluster: Cluster, arguments: Sequence[str]) -> int:
    use(cluster)
    # psql runs as a child process, because this process holds the lock that keeps the server running.
    # Only psql handles Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = cluster.binaries.folder / "psql"
    return subprocess.run([str(program), cluster.url(DATABASE), *arguments], check=False).returncode


def _print(text: str, to: TextIO | None = None) -> None:
    print(text, file=to or sys.stdout)
