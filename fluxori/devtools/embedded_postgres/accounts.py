"""The operating system account that runs the server, and the ownership of its folders and files.

PostgreSQL refuses to run as root, so root runs it as another account. No account is created, and the permissions of
existing folders are not changed.
"""

# ruff: noqa: S603 (all commands are built in this module)

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError

# Accounts that run the server for root, in order of preference. Nearly every machine has the second one.
UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int

    def popen_options(self) -> dict[str, Any]:
        """Return the arguments that make :mod:`subprocess` run a program as this account.

        The program runs in its own session, so that Ctrl-C in the terminal does not reach it. It runs in ``/`` and with
        a minimal environment, so that the current folder and variables such as ``PGDATA`` or ``LC_ALL`` do not matter.
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
        """Return True if the account may enter the folder and all its parents."""
        if os.geteuid() == self.uid:
            return os.access(folder, os.X_OK)
        command = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]
        completed = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, **self.popen_options())
        return completed.returncode == 0

    def owns(self, path: Path) -> bool:
        return path.stat().st_uid == self.uid

    def make_private(self, folder: Path) -> None:
        """Create a folder that only this account may enter. An existing folder must already be private.

        :raises EmbeddedPostgresError: the path is not a folder, or another account owns it or may enter it
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if os.geteuid() == 0 and stat.S_ISDIR(status.st_mode) and status.st_uid == 0:
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)
            status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != self.uid or stat.S_IMODE(status.st_mode) & 0o077:
            raise EmbeddedPostgresError(
                f"{folder} must be a private folder (mode 0700) of {self}. Check what it is, and remove it."
            )

    def open_file(self, path: Path, flags: int) -> int:
        """Open a file of this account; create it if it does not exist. Symbolic links are rejected."""
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return os.open(path, flags)
        if os.geteuid() != self.uid:
            os.fchown(descriptor, self.uid, self.gid)
        return descriptor

    def __str__(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"user {self.uid}"


def choose_account(project: Path) -> Account:
    """Return the account for a new server: the current one, or for root the project's owner or an unprivileged one.

    :raises EmbeddedPostgresError: the current account is root, and no other account can run the server
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
        "PostgreSQL does not run as root, and this machine has no account named "
        + " or ".join(UNPRIVILEGED)
        + ".\nRun this command as another user, or set DATABASE_URL to an existing server."
    )


def make_traversable(folder: Path, like: Path) -> None:
    """Create a folder that all accounts may traverse, with the owner of ``like``. Do not change an existing folder."""
    try:
        folder.mkdir()
    except FileExistsError:
        return
    folder.chmod(0o755)
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
