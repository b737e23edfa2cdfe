"""What management commands share: instants as arguments, progress for people and for logs, no act ahead of time."""

import sys
import time
from argparse import ArgumentTypeError
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self

from django.conf import settings
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

# Exit statuses that a scheduler can read; 0 is done, nothing due included.
FAULT = 1
REFUSED = 2


class Stream(Protocol):
    """Where progress goes: a command's ``stderr``, or any text file."""

    def isatty(self) -> bool: ...
    def write(self, text: str, /) -> Any: ...
    def flush(self) -> Any: ...


def instant_argument(text: str) -> datetime:
    """Return the aware instant, in UTC, that an RFC 3339 argument names; for argparse's ``type=``."""
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not a time with an offset, like 2026-03-01T12:00:00Z") from None


def positive_argument(text: str) -> int:
    """Return the whole number, at least 1, that an argument names; for argparse's ``type=``."""
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def refuse_future(at: datetime, *, dry_run: bool) -> None:
    """Refuse, in production, to act on an instant that has not come yet; looking ahead with a dry run is allowed.

    :raises CommandError: with exit status 1
    """
    if settings.PRODUCTION and not dry_run and at > clock.now():
        raise CommandError(f"{at.isoformat()} has not come yet: in production --at ahead of now needs --dry-run.")


class Progress:
    """How far a long step has come: a bar on a terminal; elsewhere a plain line every ``every`` seconds.

    It writes to a command's ``stderr``, so that stdout stays what the command answers.

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
        self._began = self._said = time.monotonic()

    def __enter__(self) -> Self:
        self._began = self._said = time.monotonic()
        if self._stream.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task(self._what, total=self._total)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int = 1) -> None:
        """Count ``count`` more as done, and say so when it is time."""
        self._done += count
        if self._bar is not None:
            self._bar.advance(self._task, count)
        elif time.monotonic() - self._said >= self._every:
            self._said = time.monotonic()
            self._stream.write(f"{self._line()}\n")
            self._stream.flush()

    def _line(self) -> str:
        of = f" of {self._total:,}" if self._total is not None else ""
        share = f" ({100 * self._done // self._total}%)" if self._total else ""
        return f"{self._done:,}{of} {self._what}{share} after {self._said - self._began:.0f} s"


def _bar() -> Bar:
    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    return Bar(
        *columns,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr, force_terminal=True),
        transient=True,
    )
