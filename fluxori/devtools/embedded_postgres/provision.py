"""Provide a database server for the current process when ``DATABASE_URL`` is not set.

``provide`` starts the server of the project, or joins a running one, and sets ``DATABASE_URL``. The server runs at
least until this process ends. Development and the tests have separate data folders: ``dev`` is durable, ``test`` is
not. Read next: ``cluster.py``.
"""

import atexit
import os
import sys
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from fluxori.devtools.embedded_postgres import locks
from fluxori.devtools.embedded_postgres.accounts import Account, choose_account, make_traversable
from fluxori.devtools.embedded_postgres.binaries import find_binaries
from fluxori.devtools.embedded_postgres.cluster import Cluster
from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError

PROJECT = Path(__file__).resolve().parents[3]
DATABASE = "fluxori"

# Whether the data of a purpose must survive a crash of the machine.
DURABLE = {"dev": True, "test": False}

# Holds the purpose if this module has set DATABASE_URL. Child processes inherit both variables.
ORIGIN_VARIABLE = "FLUXORI_EMBEDDED_POSTGRES"

# Data of projects of root, in folders that the server's account cannot enter.
FALLBACK_HOME = Path("/var/lib/fluxori")

# The lock descriptors of the clusters that this process uses.
_uses: dict[Cluster, int] = {}


def is_wanted(project: Path = PROJECT) -> bool:
    """Return True if ``provide`` is responsible: ``DATABASE_URL`` is not set, or ``provide`` has set it."""
    url = os.environ.get("DATABASE_URL", "").strip()
    if not url:
        return os.environ.get("ENVIRONMENT") != "production"
    purpose = os.environ.get(ORIGIN_VARIABLE, "")
    if purpose not in DURABLE:
        return False
    return parse_qs(urlsplit(url).query).get("host") == [str(cluster_of(purpose, project).socket)]


def provide(purpose: str = "dev", project: Path = PROJECT) -> Cluster:
    """Use a cluster until this process ends. Start its server if necessary, and set ``DATABASE_URL``.

    Call it only if ``is_wanted`` returns True. In a child process of a user of the cluster ``DATABASE_URL`` is already
    set: the child uses the same cluster and is counted as a user of its own.

    :raises EmbeddedPostgresError: the server cannot be started or reached
    """
    inherited = bool(os.environ.get("DATABASE_URL", "").strip())
    if inherited:
        purpose = os.environ[ORIGIN_VARIABLE]
    try:
        cluster = cluster_of(purpose, project)
        use(cluster)
    except OSError as error:
        raise EmbeddedPostgresError(f"The embedded PostgreSQL cannot be used: {error}") from error
    if not inherited:
        os.environ["DATABASE_URL"] = cluster.url(DATABASE)
        os.environ[ORIGIN_VARIABLE] = purpose
        # dbshell needs psql. The folder goes last, so that an installed psql takes precedence.
        os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", os.defpath), str(cluster.binaries.folder)))
    return cluster


def cluster_of(purpose: str, project: Path = PROJECT) -> Cluster:
    """Return the cluster of a purpose. It need not exist yet.

    :raises EmbeddedPostgresError: there are no usable programs, or no account to run them
    """
    account, home = _locate(project)
    binaries = find_binaries(account, home)
    return Cluster(home / str(binaries.major) / purpose, account, binaries, DURABLE[purpose])


def use(cluster: Cluster) -> None:
    """Register this process as a user of the cluster. Start its server and create the database if necessary.

    :raises EmbeddedPostgresError: the server cannot be started or reached
    """
    for folder in reversed(cluster.folder.parents[:2]):
        make_traversable(folder, like=folder.parent)
    cluster.account.make_private(cluster.folder)
    with cluster.start_lock():
        descriptor = locks.acquire_shared(cluster.users_lock, cluster.account)
        try:
            cluster.start()
            _create_database(cluster)
        except BaseException:
            os.close(descriptor)
            raise
    if not _uses:
        atexit.register(release_all)
    former = _uses.get(cluster)
    _uses[cluster] = descriptor
    if former is not None:
        os.close(former)


def release_all() -> None:
    """Unregister this process from all clusters. Stop each server that has no other user."""
    while _uses:
        cluster, descriptor = _uses.popitem()
        os.close(descriptor)
        try:
            with cluster.start_lock():
                cluster.stop_if_unused()
        except FileNotFoundError:
            pass  # the project has been deleted; the supervisor stops the server
        except EmbeddedPostgresError as error:
            print(error, file=sys.stderr)  # noqa: T201 (runs at exit)


def _locate(project: Path) -> tuple[Account, Path]:
    """Return the account that runs the server and the folder of its data.

    For root, existing data decide both: their owner runs the server.
    """
    local = project / ".postgres"
    account = choose_account(project)
    if os.geteuid() != 0:
        return account, local
    for home in (local, fallback_home(project)):
        for folder in home.glob("*/*"):
            status = folder.stat()
            owner = Account(status.st_uid, status.st_gid)
            if folder.name in DURABLE and owner.uid != 0 and owner.can_enter(folder):
                return owner, home
    if account.can_enter(local if local.exists() else project):
        return account, local
    make_traversable(FALLBACK_HOME, like=FALLBACK_HOME.parent)
    return account, fallback_home(project)


def fallback_home(project: Path) -> Path:
    """Return the folder of the data if the server's account cannot enter the project of root."""
    return FALLBACK_HOME / sha256(os.fsencode(project)).hexdigest()[:12]


def _create_database(cluster: Cluster) -> None:
    import psycopg  # noqa: PLC0415 (imported only if a server is used)
    from psycopg import sql  # noqa: PLC0415

    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        rows = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
        if rows.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
