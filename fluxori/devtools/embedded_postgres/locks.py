"""File locks that the kernel takes back when their holder ends, however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fluxori.devtools.embedded_postgres.accounts import Account
from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError

PAUSE = 0.02


def shared(path: Path, account: Account) -> int:
    """Take a shared lock and return the descriptor that holds it. Children made by ``fork`` hold it too."""
    descriptor = account.open_own(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def exclusive(path: Path, account: Account) -> int | None:
    """Take the lock for oneself and return the descriptor that holds it, or ``None`` while anyone has it."""
    descriptor = account.open_own(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_held(path: Path, account: Account) -> bool:
    descriptor = exclusive(path, account)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def patient(path: Path, account: Account, seconds: float) -> int:
    """Take the lock for oneself as ``exclusive`` does, waiting at most ``seconds`` for it.

    :raises EmbeddedPostgresError: if another process kept it all that time
    """
    deadline = time.monotonic() + seconds
    while (descriptor := exclusive(path, account)) is None:
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(f"Another process holds {path}; gave up after {seconds:.0f} seconds.")
        time.sleep(PAUSE)
    return descriptor


@contextmanager
def turn(path: Path, account: Account, seconds: float) -> Iterator[None]:
    """Hold the lock of ``patient`` for a while."""
    descriptor = patient(path, account, seconds)
    try:
        yield
    finally:
        os.close(descriptor)
