"""From "there is no ``DATABASE_URL``" to a server that answers, for as long as this process lives."""

import atexit
import os
import sys
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from fluxori.devtools.embedded_postgres import locks
from fluxori.devtools.embedded_postgres.accounts import Account, account_for, make_open
from fluxori.devtools.embedded_postgres.binaries import find
from fluxori.devtools.embedded_postgres.cluster import Cluster
from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError

PROJECT = Path(__file__).resolve().parents[3]
DATABASE = "fluxori"

# Whether the data of a cluster must outlive a crash of the machine.
DURABLE = {"dev": True, "test": False}

# Tells the processes we start that DATABASE_URL came from here, and from which cluster.
MARK = "FLUXORI_EMBEDDED_POSTGRES"

# For root's projects in folders that the server's account cannot enter.
ELSEWHERE = Path("/var/lib/fluxori")

_memberships: dict[Cluster, int] = {}


def wanted(project: Path = PROJECT) -> bool:
    """Say whether the database is ours to provide: none was named, or the one named came from here."""
    url = os.environ.get("DATABASE_URL", "").strip()
    if not url:
        return os.environ.get("ENVIRONMENT") != "production"
    purpose = os.environ.get(MARK, "")
    if purpose not in DURABLE:
        return False
    return parse_qs(urlsplit(url).query).get("host") == [str(cluster_of(purpose, project).socket)]


def provide(purpose: str = "dev", project: Path = PROJECT) -> Cluster:
    """Use a cluster until this process ends, starting it if need be, and name it in ``DATABASE_URL``.

    To be called where ``wanted`` says so. A process started by one that called it finds the cluster named already,
    keeps that name, and counts as a user of its own.

    :raises EmbeddedPostgresError: if there is no server to be had
    """
    named = bool(os.environ.get("DATABASE_URL", "").strip())
    if named:
        purpose = os.environ[MARK]
    try:
        cluster = cluster_of(purpose, project)
        join(cluster)
    except OSError as fault:
        raise EmbeddedPostgresError(f"The embedded PostgreSQL cannot be used: {fault}") from fault
    if not named:
        os.environ["DATABASE_URL"] = cluster.url(DATABASE)
        os.environ[MARK] = purpose
        # For dbshell, which looks for psql; behind everything the person has put there.
        os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", os.defpath), str(cluster.binaries.folder)))
    return cluster


def cluster_of(purpose: str, project: Path = PROJECT) -> Cluster:
    """:raises EmbeddedPostgresError: if no programs, or no account to run them, are found"""
    account, home = _place(project)
    binaries = find(account, home)
    return Cluster(home / str(binaries.major) / purpose, account, binaries, DURABLE[purpose])


def join(cluster: Cluster) -> None:
    """Count as a user of the cluster, and see to it that its server answers and has our database."""
    for folder in reversed(cluster.folder.parents[:2]):
        make_open(folder, like=folder.parent)
    cluster.account.make_private(cluster.folder)
    with cluster.turn():
        membership = locks.shared(cluster.users, cluster.account)
        try:
            cluster.start()
            _create_database(cluster)
        except BaseException:
            os.close(membership)
            raise
    if not _memberships:
        atexit.register(leave)
    former = _memberships.get(cluster)
    _memberships[cluster] = membership
    if former is not None:
        os.close(former)


def leave() -> None:
    """Count as a user no longer; whoever was the last one stops the server."""
    while _memberships:
        cluster, membership = _memberships.popitem()
        os.close(membership)
        try:
            with cluster.turn():
                cluster.stop_if_unused()
        except FileNotFoundError:
            pass  # the project was deleted meanwhile; the keeper sees to the server
        except EmbeddedPostgresError as fault:
            print(fault, file=sys.stderr)  # noqa: T201 (said at exit, to a person)


def _place(project: Path) -> tuple[Account, Path]:
    """Return who runs the server and below which folder its data are.

    As root, data that exist decide both: whoever owns them runs the server.
    """
    below = project / ".postgres"
    account = account_for(project)
    if os.geteuid() != 0:
        return account, below
    for home in (below, elsewhere(project)):
        for folder in home.glob("*/*"):
            owner = folder.stat()
            former = Account(owner.st_uid, owner.st_gid)
            if folder.name in DURABLE and former.uid != 0 and former.can_enter(folder):
                return former, home
    if account.can_enter(below if below.exists() else project):
        return account, below
    make_open(ELSEWHERE, like=ELSEWHERE.parent)
    return account, elsewhere(project)


def elsewhere(project: Path) -> Path:
    """Return where the data of root's project are if the server's account cannot enter the project."""
    return ELSEWHERE / sha256(os.fsencode(project)).hexdigest()[:12]


def _create_database(cluster: Cluster) -> None:
    import psycopg  # noqa: PLC0415 (only where a server is wanted)
    from psycopg import sql  # noqa: PLC0415

    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
        if found.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
