"""A PostgreSQL cluster of its own for one test: durable, in a temporary folder, and used with real commands."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.subprocess_project import REAL, SHELL, cluster_of
from tests.support.threads import wait_until

# Adds credits to one user, as often as the argument says.
WRITE = """
import sys, django
django.setup()
from credits import operations
from fluxori.core import clock
from fluxori.identity.models import User
user, _ = User.objects.get_or_create(email="ann@example.test")
for number in range(int(sys.argv[1])):
    operations.add_credits(owner=user, amount=10, type="purchase", at=clock.now())
"""


class Server:
    """A cluster in a folder of its own, with the environment of the page, run by an unprivileged account."""

    def __init__(self, folder: Path) -> None:
        self.binaries = cluster_of(REAL).binaries.folder
        self.account = cluster_of(REAL).account
        self.data, self.archive, self.backups = folder / "data", folder / "wal", folder / "base"
        self.socket = folder / "socket"
        self.socket.mkdir()
        for path in (folder, self.socket):
            os.chown(path, self.account.uid, self.account.gid)
        folder.chmod(0o700)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/fluxori?host={self.socket}"

    def run(self, script: str, **environment: str) -> str:
        """Run a script as the account of the server, as an operator does in a shell."""
        options = self.account.popen_options() | {"stderr": subprocess.PIPE}
        options["env"] = {
            "PATH": f"{self.binaries}:{os.environ['PATH']}",
            "PGDATA": str(self.data),
            "ARCHIVE": str(self.archive),
            "BACKUPS": str(self.backups),
            "PGHOST": str(self.socket),
            "PGUSER": "postgres",
            **environment,
        }
        completed = subprocess.run(
            ["bash", "-eu", "-c", script], stdout=subprocess.PIPE, text=True, check=False, **options
        )
        assert completed.returncode == 0, completed.stderr
        output: str = completed.stdout
        return output

    def start(self) -> None:
        self.run(
            "pg_ctl start --wait --timeout=60 --silent --log=$PGDATA/../log"
            f" -o '-c listen_addresses= -c unix_socket_directories={self.socket}'"
        )

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._python("manage.py", *arguments)

    def write(self, count: int) -> None:
        self.script(WRITE, str(count))

    def script(self, source: str, *arguments: str) -> str:
        """Run Python code of the project on the database, and return what it prints."""
        completed = self._python("-c", source, *arguments)
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

    def archive_log(self) -> None:
        """Archive everything that has been written. The server does so by itself at least once a minute."""
        segment = self.value("SELECT pg_walfile_name(pg_switch_wal())")
        wait_until((self.archive / str(segment)).exists, seconds=60)

    def _python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=REAL,
            env={
                **SHELL,
                "DATABASE_URL": self.url,
                "DJANGO_SETTINGS_MODULE": "fluxori.settings",
                "PYTHONPATH": str(REAL),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def value(self, sql: str) -> object:
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(sql).fetchone()
        assert row
        return row[0]


@contextmanager
def temporary_server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="cluster", dir="/tmp"))
    server = Server(folder)
    try:
        yield server
    finally:
        subprocess.run(
            [server.binaries / "pg_ctl", "stop", "--mode=immediate", f"--pgdata={server.data}"],
            check=False,
            **server.account.popen_options() | {"stdout": subprocess.DEVNULL},
        )
        shutil.rmtree(folder)
