"""The file of an anchor: one line per balance and a closing line with the digest.

``docs/reference/commands.md`` describes the form. Reading and writing keep one line in memory, whatever the number of
balances is. A file that was changed or cut off is reported as such before any of its lines is used.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO
from uuid import UUID

from fluxori.core.timestamps import from_rfc3339

VERSION = 1
# No line that was written is longer.
_MAX_LINE = 1000
_HEAD = re.compile(
    rb'\{"balanceId":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})","sequence":([0-9]{1,18}),'
    rb'"headHash":"([0-9a-f]{64})"\}\n'
)
_CLOSING = re.compile(rb'(\{"version":.*),"digest":"([0-9a-f]{64})"\}\n')


class AnchorError(Exception):
    """The anchor cannot be written, read or used. The message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last transaction of a balance when the anchor was written: its sequence number, 0 for none, and its hash."""

    balance_id: UUID
    sequence: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Anchor:
    """The closing line: the ledger and the time of the anchor, what the other lines add up to, and the digest."""

    ledger_id: UUID
    anchored_at: datetime
    balances: int
    transactions: int
    digest: str


def write(path: Path, heads: Iterable[Head], *, ledger_id: UUID, at: datetime) -> Anchor:
    """Write the file completely or not at all, and return its closing line.

    :raises AnchorError: the file exists already, or cannot be written
    """
    if path.exists():
        raise AnchorError(f"{path} exists already; an anchor is never overwritten.")
    try:
        # Not in place: a file that is cut off must not have the name of an anchor.
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as draft:
            try:
                anchor = _write_lines(draft, heads, ledger_id, at)
                draft.flush()
                os.fsync(draft.fileno())
                Path(draft.name).replace(path)
            except BaseException:
                Path(draft.name).unlink()
                raise
    except OSError as error:
        raise AnchorError(f"{path} cannot be written: {error.strerror}.") from None
    return anchor


def _write_lines(file: IO[bytes], heads: Iterable[Head], ledger_id: UUID, at: datetime) -> Anchor:
    digest = hashlib.sha256()
    balances = transactions = 0
    for head in heads:
        line = b'{"balanceId":"%s","sequence":%d,"headHash":"%s"}\n' % (
            str(head.balance_id).encode(),
            head.sequence,
            head.hash.hex().encode(),
        )
        file.write(line)
        digest.update(line)
        balances += 1
        transactions += head.sequence
    facts = {
        "version": VERSION,
        "ledgerId": str(ledger_id),
        "anchoredAt": at.isoformat(),
        "balances": balances,
        "transactions": transactions,
    }
    beginning = json.dumps(facts, separators=(",", ":"))[:-1].encode()
    digest.update(beginning)
    file.write(b'%s,"digest":"%s"}\n' % (beginning, digest.hexdigest().encode()))
    return Anchor(ledger_id, at, balances, transactions, digest.hexdigest())


def read(path: Path) -> Anchor:
    """Read the file to its end, and return its closing line.

    :raises AnchorError: the file cannot be read, is not an anchor, was cut off, or was changed
    """
    reader = Reader(path)
    for _ in reader:
        pass
    return reader.closing


class Reader:
    """Iterates over the lines of the balances. After the iteration ``closing`` is the closing line.

    The iteration raises ``AnchorError`` like ``read``, at the latest at its end.
    """

    closing: Anchor

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Head]:
        if not self._path.is_file():
            raise AnchorError(f"{self._path} is not a file.")
        try:
            with self._path.open("rb") as file:
                yield from self._heads(file)
        except OSError as error:
            raise AnchorError(f"{self._path} cannot be read: {error.strerror}.") from None

    def _heads(self, file: IO[bytes]) -> Iterator[Head]:
        digest = hashlib.sha256()
        number = 0
        while line := file.readline(_MAX_LINE):
            number += 1
            if (match := _HEAD.fullmatch(line)) is not None:
                digest.update(line)
                yield Head(UUID(match[1].decode()), int(match[2]), bytes.fromhex(match[3].decode()))
            elif (match := _CLOSING.fullmatch(line)) is not None:
                digest.update(match[1])
                self.closing = self._parse_closing(match, digest.hexdigest(), number - 1)
                if file.read(1):
                    raise AnchorError(f"{self._path} was changed: line {number + 1} follows the closing line.")
                return
            elif line.endswith(b"\n") or len(line) == _MAX_LINE:
                raise AnchorError(f"{self._path} is not an anchor, or was changed: line {number} has another form.")
        raise AnchorError(f"{self._path} was cut off: its closing line is missing.")

    def _parse_closing(self, match: re.Match[bytes], digest: str, balances: int) -> Anchor:
        if digest != match[2].decode():
            raise AnchorError(f"{self._path} was changed: its digest is {digest}, the closing line has another one.")
        try:
            facts = json.loads(match[1] + b"}")
            if facts["version"] != VERSION:
                raise AnchorError(f"{self._path} has version {facts['version']}; this release reads {VERSION}.")
            return Anchor(
                UUID(facts["ledgerId"]), from_rfc3339(facts["anchoredAt"]), balances, int(facts["transactions"]), digest
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise AnchorError(f"{self._path} is not an anchor: its closing line has another form.") from None
