"""The hash chain of a balance: each transaction carries a SHA-256 over all its facts and its predecessor's hash.

``docs/reference/ledger-hash.md`` lists the fields, their encoding and a test vector. The SQL function
``credits_transaction_hash`` computes the same bytes inside PostgreSQL, so a change here needs a change there. Pure.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from credits.domain.records import Entry, Grant, Transaction

GENESIS = bytes(32)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NULL = b"\xff\xff\xff\xff"
_SIX_PLACES = Decimal("0.000001")

Value = str | int | bytes | datetime | Decimal | UUID | None


def transaction_hash(transaction: Transaction) -> bytes:
    """Return the SHA-256 of the transaction, which includes the hash of its predecessor."""
    return hashlib.sha256(preimage(transaction)).digest()


def preimage(transaction: Transaction) -> bytes:
    """Return the hashed bytes: length-prefixed fields in a fixed order."""
    details = transaction.details
    fields: list[Value] = [
        transaction.hash_version,
        transaction.previous_hash,
        transaction.id,
        transaction.balance_id,
        transaction.sequence,
        transaction.type,
        transaction.amount,
        transaction.balance_after,
        transaction.timestamp,
        transaction.recorded_at,
        details.description,
        details.reference_id,
        details.feature_id,
        details.price_id,
        details.quantity,
        details.actor_id,
        details.member_id,
        details.hold_id,
        details.reverses_id,
        details.idempotency_key,
        details.reason,
        details.request_id,
        details.metadata,
        len(transaction.entries),
    ]
    for entry in transaction.entries:
        fields += _entry(entry)
    fields.append(len(transaction.opened))
    for grant in sorted(transaction.opened, key=lambda grant: grant.id):
        fields += _grant(grant)
    if details.counterpart_id is not None:
        # Only a transfer has it, and the type is hashed above, so no two transactions have the same bytes.
        fields.append(details.counterpart_id)
    return b"".join(_encoded(fields))


def _entry(entry: Entry) -> list[Value]:
    return [entry.id, entry.position, entry.grant_id, entry.amount, entry.remaining_after]


def _grant(grant: Grant) -> list[Value]:
    return [
        grant.id,
        grant.parent_id,
        grant.source,
        grant.amount,
        grant.priority,
        grant.effective_at,
        grant.expires_at,
        grant.unit_price,
        grant.roll_cap,
        grant.roll_until,
        grant.feature_id,
    ]


def _encoded(values: list[Value]) -> list[bytes]:
    parts = []
    for value in values:
        if value is None:
            parts.append(_NULL)
            continue
        encode = _ENCODERS.get(type(value))
        raw = str(value).encode() if encode is None else encode(value)
        parts.append(len(raw).to_bytes(4, "big"))
        parts.append(raw)
    return parts


def _uuid(value: UUID) -> bytes:
    # The same text as str(value) in a quarter of the time. Most hashed values are ids.
    return orjson.dumps(value)[1:-1]


def _micros(at: datetime) -> bytes:
    return b"%d" % ((at - _EPOCH) // _MICROSECOND)


def _decimal(value: Decimal) -> bytes:
    # Adding zero turns minus zero, which PostgreSQL does not have, into zero.
    return str(value.quantize(_SIX_PLACES) + 0).encode()


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    bytes: bytes,
    str: str.encode,
    int: b"%d".__mod__,
    UUID: _uuid,
    datetime: _micros,
    Decimal: _decimal,
}
