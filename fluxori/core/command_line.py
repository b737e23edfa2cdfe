"""Helpers of management commands: argument types, exit statuses and progress output.

Exit status 0 means done, 1 failed, 2 that some items were rejected or skipped.
"""

import sys
import time
from argparse import ArgumentTypeError
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self

from django.core.management.base import CommandError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from fluxori.core import clock
from fluxori.core.timestamps import from_rfc3339

# Exit statuses for schedulers. 0 means done, also when nothing was due.
EXIT_FAILED = 1
EXIT_REJECTED = 2


class Stream(Protocol):
    """A stream for progress output: a command's ``stderr``, or any text file."""

    def isatty(self) -> bool: ...
    def write(self, text: str, /) -> Any: ...
    def flush(self) -> Any: ...


def timestamp_argument(text: str) -> datetime:
    """Parse an RFC 3339 time into UTC, as argparse's ``type=``."""
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not a time with an offset, like 2026-03-01T12:00:00Z") from None


def positive_argument(text: str) -> int:
    """Parse a whole number of at least 1, as argparse's ``type=``."""
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def reject_future(at: datetime, *, dry_run: bool) -> None:
    """Reject a time in the future unless the command is a dry run.

    :raises CommandError: ``at`` is in the future and this is not a dry run
    """
    if not dry_run and at > clock.now():
        raise CommandError(f"{at.isoformat()} is in the future: this needs --dry-run.")


class Progress:
    """Progress of a long step: a bar on a terminal, otherwise one line every ``every`` seconds.

    The output goes to the command's ``stderr``, so that stdout contains only the result.

        with Progress("balances", stream=self.stderr, total=count) as progress:
            for chunk in chunks:
                ...
                progress.advance(len(chunk))
    """

    def __init__(self, what: str, *, stream: Stream, total: int | None = None, every: float = 10.0) -> None:
        self._what = what
        self._stream = stream
        self._total = total
        self._every = every
        self._done = 0
        self._bar: Bar | None = None
        self._started_at = self._reported_at = time.monotonic()

    def __enter__(self) -> Self:
        self._started_at = self._reported_at = time.monotonic()
        if self._stream.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task(self._what, total=self._total)
            self._bar.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int = 1) -> None:
        """Add ``count`` finished items, and report the progress if it is due."""
        self._done += count
        if self._bar is not None:
            self._bar.advance(self._task, count)
        elif time.monotonic() - self._reported_at >= self._every:
            self._reported_at = time.monotonic()
            self._stream.write(f"{self._line()}\n")
            self._stream.flush()

    def _line(self) -> str:
        of = f" of {self._total:,}" if self._total is not None else ""
        share = f" ({100 * self._done // self._total}%)" if self._total else ""
        return f"{self._done:,}{of} {self._what}{share} after {self._reported_at - self._started_at:.0f} s"


def _bar() -> Bar:
    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    return Bar(
        *columns,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr, force_terminal=True),
        transient=True,
    )
