"""Who runs the server, and the folders and files made for that account."""

# ruff: noqa: S603 (every command that is run here is put together here)

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError

# PostgreSQL refuses to run as root. No account is ever added: nearly every machine has the second of these.
UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int

    def process(self) -> dict[str, Any]:
        """Return the arguments that make :mod:`subprocess` run something as this account.

        In a session of its own, so that Ctrl-C in the terminal does not reach it; from ``/`` and with an environment
        of its own, so that neither the caller's folder nor its ``PG*`` and ``LC_*`` variables matter.
        """
        identity = {"user": self.uid, "group": self.gid, "extra_groups": []} if os.geteuid() != self.uid else {}
        return {
            "stdin": subprocess.DEVNULL,
            "stderr": subprocess.STDOUT,
            "cwd": "/",
            "env": {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            "start_new_session": True,
            **identity,
        }

    def can_enter(self, folder: Path) -> bool:
        """Say whether the account gets into the folder, through every folder above it."""
        if os.geteuid() == self.uid:
            return os.access(folder, os.X_OK)
        command = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]
        return subprocess.run(command, check=False, stdout=subprocess.DEVNULL, **self.process()).returncode == 0

    def owns(self, path: Path) -> bool:
        return path.stat().st_uid == self.uid

    def make_private(self, folder: Path) -> None:
        """Make a folder that only this account may enter, or insist that the existing one is such a folder.

        :raises EmbeddedPostgresError: if something else has that name, or another account owns it
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if os.geteuid() == 0 and stat.S_ISDIR(found.st_mode) and found.st_uid == 0:
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)
            found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.uid or stat.S_IMODE(found.st_mode) & 0o077:
            raise EmbeddedPostgresError(
                f"{folder} must be a private folder (mode 0700) of {self}; it is not. Look at it, and remove it."
            )

    def open_own(self, path: Path, flags: int) -> int:
        """Open a file of this account, made if it is missing; a link with that name is refused."""
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            made = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return os.open(path, flags)
        if os.geteuid() != self.uid:
            os.fchown(made, self.uid, self.gid)
        return made

    def __str__(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"user {self.uid}"


def account_for(project: Path) -> Account:
    """Return who should run a new server: whoever we are, or as root the project's owner or an unprivileged account.

    :raises EmbeddedPostgresError: if we are root and the machine has no account to run the server
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    owner = project.stat().st_uid
    for known in pwd.getpwall():
        if owner != 0 and known.pw_uid == owner:
            return Account(known.pw_uid, known.pw_gid)
    for name in UNPRIVILEGED:
        try:
            known = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(known.pw_uid, known.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and there is neither an account "
        + " nor ".join(UNPRIVILEGED)
        + ".\nRun this as another user, or set DATABASE_URL to a server of your own."
    )


def make_open(folder: Path, like: Path) -> None:
    """Make a folder others may pass through, owned as ``like`` is; an existing one is left as it stands."""
    try:
        folder.mkdir()
    except FileExistsError:
        return
    folder.chmod(0o755)
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
