"""File locks (``flock``). The kernel releases a lock when its holder ends, even if the holder is killed."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fluxori.devtools.embedded_postgres.accounts import Account
from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError

# Seconds between two attempts.
POLL_INTERVAL = 0.02


def acquire_shared(path: Path, account: Account) -> int:
    """Take a shared lock and return the descriptor that holds it. Children made by ``fork`` hold it as well."""
    descriptor = account.open_file(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def try_exclusive(path: Path, account: Account) -> int | None:
    """Take an exclusive lock and return the descriptor that holds it, or ``None`` if the lock is held."""
    descriptor = account.open_file(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_held(path: Path, account: Account) -> bool:
    descriptor = try_exclusive(path, account)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def wait_exclusive(path: Path, account: Account, seconds: float) -> int:
    """Take an exclusive lock as ``try_exclusive`` does, and wait up to ``seconds`` for it.

    :raises EmbeddedPostgresError: another process held the lock all that time
    """
    deadline = time.monotonic() + seconds
    while (descriptor := try_exclusive(path, account)) is None:
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(f"Another process has held {path} for {seconds:.0f} seconds.")
        time.sleep(POLL_INTERVAL)
    return descriptor


@contextmanager
def exclusive(path: Path, account: Account, seconds: float) -> Iterator[None]:
    """Hold an exclusive lock while the block runs, and wait up to ``seconds`` for it.

    :raises EmbeddedPostgresError: another process held the lock all that time
    """
    descriptor = wait_exclusive(path, account, seconds)
    try:
        yield
    finally:
        os.close(descriptor)
