"""Anchors: what the hash chains ended with at one time, kept outside the database, and compared with it later.

``verify_ledger`` alone shows that the chains are consistent. A person who can write to the tables can write a different
history that is consistent too, or restore an older one. A hash that is kept elsewhere shows both: the hash of a
transaction covers all transactions before it.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

from credits.models import LedgerIdentity
from credits.queries import account_names
from credits.verification import anchor_file
from credits.verification.anchor_file import Anchor, AnchorError, Head
from credits.verification.run import Difference, Findings, fetch_rows

_PAGE = 2000
# The clock of the machine that wrote the anchor may be fast.
_CLOCK_TOLERANCE = timedelta(minutes=5)

# One statement reads a balance and its last transaction in one snapshot, unaffected by concurrent operations.
_HEADS = """
SELECT b.id, b.sequence, b.head_hash,
       CASE WHEN b.sequence = 0 THEN decode(repeat('00', 32), 'hex') ELSE t.hash END AS last_hash
  FROM credits_creditbalance b
  LEFT JOIN credits_credittransaction t ON t.balance_id = b.id AND t.sequence = b.sequence
 WHERE b.id > %(after)s
 ORDER BY b.id
 LIMIT %(limit)s
"""
_DIFFERENCES = """
SELECT 'anchored_history_unchanged', a.balance_id, 'balance', a.balance_id,
       CASE WHEN b.id IS NULL THEN concat('the balance is missing, anchored with sequence ', a.sequence)
            WHEN a.sequence > 0 AND t.id IS NULL THEN
                concat('sequence ', a.sequence, ' is missing, the last transaction has sequence ', b.sequence)
            ELSE concat('sequence ', a.sequence, ' has hash ', encode(t.hash, 'hex'), ', anchored with ',
                        encode(a.hash, 'hex')) END
  FROM unnest(%(ids)s::uuid[], %(sequences)s::bigint[], %(hashes)s::bytea[]) AS a (balance_id, sequence, hash)
  LEFT JOIN credits_creditbalance b ON b.id = a.balance_id
  LEFT JOIN credits_credittransaction t ON t.balance_id = a.balance_id AND t.sequence = a.sequence
 WHERE b.id IS NULL OR (a.sequence > 0 AND t.hash IS DISTINCT FROM a.hash)
 ORDER BY a.balance_id
"""


def write_anchor(path: Path, *, at: datetime, on_page: Callable[[int], None] = lambda _: None) -> Anchor:
    """Write the last hash of every balance to a new file, in order of id, and return the closing line.

    Balances are read in pages, each in one snapshot. The hash chain of a balance depends on no other balance, so the
    anchor needs no snapshot of all. ``on_page`` receives the number of balances of each page.

    :raises AnchorError: the file exists or cannot be written, or a balance does not end with its last transaction
    """
    return anchor_file.write(path, _stored_heads(on_page), ledger_id=ledger_id(), at=at)


def read_anchor(path: Path, *, at: datetime) -> Anchor:
    """Read the file completely and return its closing line.

    :raises AnchorError: the file cannot be read, is not an anchor, was cut off or changed, is of another database, or
        is dated after ``at``
    """
    anchor = anchor_file.read(path)
    if anchor.ledger_id != ledger_id():
        raise AnchorError(f"{path} is an anchor of the ledger {anchor.ledger_id}; this database is {ledger_id()}.")
    if anchor.anchored_at > at + _CLOCK_TOLERANCE:
        raise AnchorError(f"{path} is dated {anchor.anchored_at.isoformat()}, in the future.")
    return anchor


def verify_anchor(path: Path, anchor: Anchor, *, balance_id: UUID | None = None) -> Iterator[Findings]:
    """Compare the transactions that the file names with the stored ones: all balances, or one.

    An equal hash proves that this transaction and all before it are those of the time of the anchor, if the stored
    hashes match their rows; the rules of ``verify_range`` check that. Later transactions and balances are not compared.

    :raises AnchorError: the file is no longer the one that ``read_anchor`` has read
    """
    reader = anchor_file.Reader(path)
    heads = (head for head in reader if balance_id in (None, head.balance_id))
    while page := list(islice(heads, _PAGE)):
        yield Findings(len(page), 0, _differences(page))
    if reader.closing != anchor:
        raise AnchorError(f"{path} was changed while it was read.")


def ledger_id() -> UUID:
    """Return the id of the ledger in this database."""
    return LedgerIdentity.objects.values_list("pk", flat=True).get()


def _stored_heads(on_page: Callable[[int], None]) -> Iterator[Head]:
    after = UUID(int=0)
    while rows := fetch_rows(_HEADS, {"after": after, "limit": _PAGE}):
        for balance_id, sequence, head_hash, last_hash in rows:
            if head_hash != last_hash:
                [account] = account_names([balance_id]).values()
                raise AnchorError(
                    f"Balance {balance_id} ({account}) does not end with its last transaction; run verify_ledger"
                    f" --balance {balance_id}."
                )
            yield Head(balance_id, sequence, bytes(head_hash))
        on_page(len(rows))
        after = rows[-1][0]


def _differences(page: list[Head]) -> tuple[Difference, ...]:
    columns = {
        "ids": [head.balance_id for head in page],
        "sequences": [head.sequence for head in page],
        "hashes": [head.hash for head in page],
    }
    return tuple(Difference(*row) for row in fetch_rows(_DIFFERENCES, columns))
