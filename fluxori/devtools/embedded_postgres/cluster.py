"""One PostgreSQL data folder and its server: initialize, start, check, stop.

File locks say who uses the server and whether it is running, so a stale process id is never trusted: it may belong to a
zombie or to another program. A data folder is created completely or not at all. Read next: ``supervisor.py``.
"""

# ruff: noqa: S603 (all commands are built in this module)

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Self

from fluxori.devtools.embedded_postgres import locks
from fluxori.devtools.embedded_postgres.accounts import Account
from fluxori.devtools.embedded_postgres.binaries import Binaries
from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError

# The path of a Unix socket is limited to about 100 bytes, and the project's path may be longer.
SOCKETS = Path("/tmp")  # noqa: S108 (the folder made in it is private, or rejected)
SUPERUSER = "postgres"

# Seconds to wait for a start or a stop. Recovery after a crash takes longest.
TIMEOUT = 120.0

# The server's log is emptied when it is larger than this.
MAX_LOG_BYTES = 10_000_000

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Faster, but a crash of the machine destroys the data.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Cluster:
    """A data folder and its server. ``folder`` holds the data, the server's log and three locks:

    - ``start.lock`` is held by the process that is starting or stopping the server;
    - ``users.lock`` is shared by all processes that use the server;
    - ``server.lock`` is held by all processes of the server itself.
    """

    folder: Path
    account: Account
    binaries: Binaries
    durable: bool

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def socket(self) -> Path:
        name = sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return SOCKETS / f"fluxori-{self.account.uid}-{name}"

    def url(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@/{database}?host={self.socket}"

    @property
    def users_lock(self) -> Path:
        return self.folder / "users.lock"

    @property
    def server_lock(self) -> Path:
        return self.folder / "server.lock"

    def start_lock(self, seconds: float = TIMEOUT) -> AbstractContextManager[None]:
        """Hold ``start.lock`` while the block runs. ``start`` and the two ``stop`` methods require it."""
        return locks.exclusive(self.folder / "start.lock", self.account, seconds)

    # State

    def is_alive(self) -> bool:
        """Return True if any process of the server is left."""
        return self.folder.exists() and locks.is_held(self.server_lock, self.account)

    def answers(self) -> bool:
        """Return True if the server accepts connections, even if all its connections are in use."""
        from psycopg import pq  # noqa: PLC0415 (imported only if a server is used)

        conninfo = f"host={self.socket} user={SUPERUSER} dbname=postgres connect_timeout=5"
        return pq.PGconn.ping(conninfo.encode()) == pq.Ping.OK

    def is_in_use(self) -> bool:
        return self.folder.exists() and locks.is_held(self.users_lock, self.account)

    # Start

    def start(self) -> None:
        """Start the server unless it is running. Return when it accepts connections.

        :raises EmbeddedPostgresError: it does not; the message contains the end of the server's log
        """
        self._wait_until(lambda: not self.is_alive() or self.answers(), "neither answers nor ends")
        if self.is_alive():
            return
        if not (self.data / "PG_VERSION").exists():
            self._initialize()
        self._remove_stale_files()
        self._launch()
        self._wait_until(lambda: self.answers() or not self.is_alive(), "does not answer")
        if not self.answers():
            raise EmbeddedPostgresError(f"PostgreSQL did not start.\n{self._log_tail()}")

    def _initialize(self) -> None:
        """Create the data folder, completely or not at all."""
        _report(f"Creating a PostgreSQL {self.binaries.major} database in {self.folder}")
        for former in self.folder.parents[1].glob(f"*/{self.folder.name}/data"):
            _report(f"The database of another PostgreSQL version in {former} is not changed")
        for incomplete in self.folder.glob("data-new-*"):
            shutil.rmtree(incomplete, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(dir=self.folder, prefix="data-new-"))
        if not self.account.owns(draft):
            os.chown(draft, self.account.uid, self.account.gid)
        builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if self.binaries.major >= 17 else []
        command = [
            str(self.binaries.folder / "initdb"),
            f"--pgdata={draft}",
            f"--username={SUPERUSER}",
            "--auth-local=trust",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
            *builtin,
            "--data-checksums",
            *([] if self.durable else ["--no-sync"]),
        ]
        with self.open_log() as log:
            completed = subprocess.run(command, check=False, stdout=log, **self.account.popen_options())
        if completed.returncode != 0:
            raise EmbeddedPostgresError(f"PostgreSQL could not create its data folder.\n{self._log_tail()}")
        draft.rename(self.data)

    def _remove_stale_files(self) -> None:
        """Remove the files of a server that was killed: the process id in them may belong to another program."""
        if self._postmaster() is not None:
            raise EmbeddedPostgresError(f"A server that was started by other means uses {self.data}. Stop it first.")
        self.account.make_private(self.socket)
        for stale in (self.data / "postmaster.pid", *self.socket.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)

    def _launch(self) -> None:
        with self.open_log() as log:
            subprocess.run(
                [sys.executable, "-m", "fluxori.devtools.embedded_postgres.supervisor", self.to_json()],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(Path(__file__).parents[3])},
                start_new_session=True,
            )

    def command(self) -> list[str]:
        """Return the command line of the server."""
        settings = SETTINGS | ({} if self.durable else NOT_DURABLE) | {"unix_socket_directories": str(self.socket)}
        return [
            str(self.binaries.folder / "postgres"),
            "-D",
            str(self.data),
            *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
        ]

    # Stop

    def stop_if_unused(self) -> bool:
        """Stop the server unless a process uses it. Return True if it has been stopped."""
        if self.is_in_use():
            return False
        self.stop()
        return True

    def stop(self) -> None:
        """Stop the server. Return when none of its processes is left.

        :raises EmbeddedPostgresError: a process is left
        """
        # SIGINT is PostgreSQL's fast shutdown: sessions end and the data are written. SIGQUIT is its immediate
        # shutdown: the next start recovers the data.
        for signal_number, seconds in ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0)):
            postmaster = self._postmaster()
            if postmaster is not None:
                os.kill(postmaster, signal_number)
            if _poll(lambda: not self.is_alive(), seconds):
                with suppress(OSError):
                    self.socket.rmdir()
                return
        raise EmbeddedPostgresError(f"PostgreSQL does not stop.\n{self._log_tail()}")

    def _postmaster(self) -> int | None:
        """Return the process id in ``postmaster.pid`` if that process is a server on this data folder."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n")[0])
        except (FileNotFoundError, ValueError):
            return None
        return pid if str(self.data) in _command_line(pid) else None

    # Helpers

    def open_log(self) -> IO[bytes]:
        """Open the server's log to append to it. Empty it first if it is too long."""
        log = os.fdopen(self.account.open_file(self.log, os.O_WRONLY | os.O_APPEND), "ab")
        if os.fstat(log.fileno()).st_size > MAX_LOG_BYTES:
            log.truncate(0)
        return log

    def to_json(self) -> str:
        """Serialize the cluster, to pass it on a command line."""
        return json.dumps(
            {
                "folder": str(self.folder),
                "account": [self.account.uid, self.account.gid],
                "binaries": [str(self.binaries.folder), self.binaries.major],
                "durable": self.durable,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields = json.loads(text)
        programs, major = fields["binaries"]
        binaries = Binaries(Path(programs), major)
        return cls(Path(fields["folder"]), Account(*fields["account"]), binaries, fields["durable"])

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([*lines[-15:], f"(from {self.log})"])

    def _wait_until(self, condition: Callable[[], bool], failure: str) -> None:
        if not _poll(condition, TIMEOUT):
            raise EmbeddedPostgresError(
                f"The server of {self.folder} {failure}. Try: manage.py postgres stop\n{self._log_tail()}"
            )


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 (progress of the command line)


def _poll(condition: Callable[[], bool], seconds: float) -> bool:
    """Return True as soon as the condition holds, or False after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(locks.POLL_INTERVAL)
    return True


def _command_line(pid: int) -> list[str]:
    """Return the command line of a process, or an empty list for a zombie or a process that has ended."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
        except OSError:
            return []
    completed = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
    )
    # ps does not separate the arguments. The data folder is the text between -D and -c.
    return [text for rest in completed.stdout.split(" -D ")[1:] for text in rest.split(" -c ")[:1]]
