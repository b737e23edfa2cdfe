"""One PostgreSQL data folder and its server: made, started, counted and stopped."""

# ruff: noqa: S603 (every command that is run here is put together here)

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

# A socket's path has room for about 100 bytes, so it lives apart from the project, whose path may be long.
SOCKETS = Path("/tmp")  # noqa: S108 (the folder made in it is private, or refused)
SUPERUSER = "postgres"

# Seconds. Recovery after a crash is the slowest of these.
PATIENCE = 120.0

# Bytes.
LONG_LOG = 10_000_000

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Only where nothing is lost when the machine stops.
THROW_AWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Cluster:
    """``folder`` holds the data, the server's log and three locks:

    - ``start.lock`` is held, by one process, while the server is started or stopped;
    - ``users.lock`` is shared by every process that uses the server;
    - ``server.lock`` is held by the server's own processes, all of them. So whether one is left is never guessed from a
      process id, which may be a zombie's or another program's by now.
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
    def users(self) -> Path:
        return self.folder / "users.lock"

    @property
    def life(self) -> Path:
        return self.folder / "server.lock"

    # What holds

    def is_alive(self) -> bool:
        """Say whether any process of the server is left."""
        return self.folder.exists() and locks.is_held(self.life, self.account)

    def answers(self) -> bool:
        """Say whether a connection answers; one that is refused for lack of room does."""
        from psycopg import pq  # noqa: PLC0415 (only where a server is wanted)

        where = f"host={self.socket} user={SUPERUSER} dbname=postgres connect_timeout=5"
        return pq.PGconn.ping(where.encode()) == pq.Ping.OK

    def is_in_use(self) -> bool:
        return self.folder.exists() and locks.is_held(self.users, self.account)

    def turn(self, seconds: float = PATIENCE) -> AbstractContextManager[None]:
        """Only the process whose turn it is starts or stops the server."""
        return locks.turn(self.folder / "start.lock", self.account, seconds)

    # Starting; it must be our turn

    def start(self) -> None:
        """Return when a connection answers.

        :raises EmbeddedPostgresError: if none does; the end of the server's log is in the message
        """
        self._until(lambda: not self.is_alive() or self.answers(), "neither answers nor ends")
        if self.is_alive():
            return
        if not (self.data / "PG_VERSION").exists():
            self._initialize()
        self._clear_the_way()
        self._launch()
        self._until(lambda: self.answers() or not self.is_alive(), "does not answer")
        if not self.answers():
            raise EmbeddedPostgresError(f"PostgreSQL did not start.\n{self._last_words()}")

    def _initialize(self) -> None:
        """Make the data folder, whole or not at all."""
        _say(f"Making a PostgreSQL {self.binaries.major} database in {self.folder}")
        for former in self.folder.parents[1].glob(f"*/{self.folder.name}/data"):
            _say(f"There is one of another version in {former}; it stays as it is")
        for left_over in self.folder.glob("data-new-*"):
            shutil.rmtree(left_over, ignore_errors=True)
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
            made = subprocess.run(command, check=False, stdout=log, **self.account.process())
        if made.returncode != 0:
            raise EmbeddedPostgresError(f"PostgreSQL could not make its data folder.\n{self._last_words()}")
        draft.rename(self.data)

    def _clear_the_way(self) -> None:
        """Remove what a killed server left behind: it names a process that may be anybody's by now."""
        if self._postmaster() is not None:
            raise EmbeddedPostgresError(f"A server that was started by other means uses {self.data}. Stop it first.")
        self.account.make_private(self.socket)
        for stale in (self.data / "postmaster.pid", *self.socket.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)

    def _launch(self) -> None:
        with self.open_log() as log:
            subprocess.run(
                [sys.executable, "-m", "fluxori.devtools.embedded_postgres.keeper", self.spelled()],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(Path(__file__).parents[3])},
                start_new_session=True,
            )

    def command(self) -> list[str]:
        """Return the words that run the server."""
        settings = SETTINGS | ({} if self.durable else THROW_AWAY) | {"unix_socket_directories": str(self.socket)}
        return [
            str(self.binaries.folder / "postgres"),
            "-D",
            str(self.data),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ]

    # Stopping; it must be our turn

    def stop_if_unused(self) -> bool:
        """Stop the server unless a process uses it, and say whether it is gone."""
        if self.is_in_use():
            return False
        self.stop()
        return True

    def stop(self) -> None:
        """Return when no process of the server is left.

        :raises EmbeddedPostgresError: if one is left
        """
        # Fast: sessions are ended, the data are written out. Then: without writing out, recovered at the next start.
        for how, patience in ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0)):
            postmaster = self._postmaster()
            if postmaster is not None:
                os.kill(postmaster, how)
            if _within(patience, lambda: not self.is_alive()):
                with suppress(OSError):
                    self.socket.rmdir()
                return
        raise EmbeddedPostgresError(f"PostgreSQL does not stop.\n{self._last_words()}")

    def _postmaster(self) -> int | None:
        """Return the process id of a server on this data folder, if the one it left in a file still is."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n")[0])
        except (FileNotFoundError, ValueError):
            return None
        return pid if str(self.data) in _words_of(pid) else None

    # What all of it needs

    def open_log(self) -> IO[bytes]:
        """Open the server's log to add to it; one that has grown long begins anew."""
        log = os.fdopen(self.account.open_own(self.log, os.O_WRONLY | os.O_APPEND), "ab")
        if os.fstat(log.fileno()).st_size > LONG_LOG:
            log.truncate(0)
        return log

    def spelled(self) -> str:
        """Return this cluster as one word of a command line."""
        return json.dumps(
            {
                "folder": str(self.folder),
                "account": [self.account.uid, self.account.gid],
                "binaries": [str(self.binaries.folder), self.binaries.major],
                "durable": self.durable,
            }
        )

    @classmethod
    def from_word(cls, word: str) -> Self:
        said = json.loads(word)
        programs, major = said["binaries"]
        return cls(Path(said["folder"]), Account(*said["account"]), Binaries(Path(programs), major), said["durable"])

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([*lines[-15:], f"(from {self.log})"])

    def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        if not _within(PATIENCE, holds):
            raise EmbeddedPostgresError(
                f"The server of {self.folder} {otherwise}. Try: manage.py postgres stop\n{self._last_words()}"
            )


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)  # noqa: T201 (a person waits)


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(locks.PAUSE)
    return True


def _words_of(pid: int) -> list[str]:
    """Return the command line of a process; none for a zombie, or for one that has ended."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
        except OSError:
            return []
    said = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], check=False, capture_output=True, text=True)  # noqa: S607
    # Without /proc the words cannot be told apart; the data folder follows -D and precedes -c.
    return [words for words in said.stdout.split(" -D ")[1:] for words in words.split(" -c ")[:1]]
