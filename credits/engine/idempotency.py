"""Idempotent requests: the fingerprint of a request, and its result as it is stored under the idempotency key.

The key, the fingerprint and the result are written in the transaction of the operation, so key and effect commit
together. A retry with the same fingerprint returns the stored result; another fingerprint under the same key is an
error. What can change later (the balance after, tier facts, the status of a hold) is stored; a transaction or hold is
found again by its id.
"""

import hashlib
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from credits.arguments import Validator, id_of
from credits.domain.records import BalanceSnapshot, Hold
from credits.tier_registry import TierFacts
from fluxori.core import request_context
from fluxori.core.input_rules import canonical_json

_SNAPSHOT_FIELDS = tuple(each.name for each in fields(BalanceSnapshot))
_HOLD_STATE = ("status", "captured", "closed_at", "expires_at")


@dataclass(frozen=True, slots=True)
class RequestIdentity:
    """What identifies one request before any stored data is read. Without a key the request is never remembered."""

    operation: str
    caller: UUID | None
    key: str | None
    fingerprint: bytes
    request_id: str


@dataclass(frozen=True, slots=True)
class StoredResult:
    """The part of a result that is stored as JSON; ``extras`` are the facts of one kind of operation."""

    snapshot: BalanceSnapshot
    tier_facts: TierFacts
    extras: dict[str, Any]
    hold_state: dict[str, Any] | None


def build_request(operation: str, *, actor: Any, key: str | None, **arguments: Any) -> RequestIdentity:
    """Return the identity of a request.

    Its fingerprint covers the operation and ``arguments`` with their defaults filled in.

    :raises InvalidArgumentError: the key is empty, longer than 255 characters, or not printable
    """
    fingerprint = b""
    if key is not None:
        validator = Validator()
        validator.idempotency_key(key)
        validator.raise_if_invalid()
        fingerprint = hashlib.sha256(canonical_json([operation, arguments]).encode()).digest()
    return RequestIdentity(operation, id_of(actor), key, fingerprint, request_context.request_id.get())


def serialize_result(
    snapshot: BalanceSnapshot, tier_facts: TierFacts, extras: dict[str, Any], hold: Hold | None
) -> str:
    """Return the JSON text of a result."""
    # getattr instead of dataclasses.asdict, which copies every value deeply.
    return orjson.dumps(
        {
            "balance": {name: getattr(snapshot, name) for name in _SNAPSHOT_FIELDS},
            "tier_facts": tier_facts.to_json(),
            "extras": extras,
            "hold": hold and {name: getattr(hold, name) for name in _HOLD_STATE},
        }
    ).decode()


def deserialize_result(text: str) -> StoredResult:
    """Return the result that :func:`serialize_result` made."""
    stored = orjson.loads(text)
    snapshot, hold = stored["balance"], stored["hold"]
    for name in ("id", "user_id", "organization_id"):
        snapshot[name] = snapshot[name] and UUID(snapshot[name])
    _parse_timestamps(snapshot, "last_updated", "suspended_at")
    if snapshot["next_expiry"]:
        amount, at = snapshot["next_expiry"]
        snapshot["next_expiry"] = (amount, datetime.fromisoformat(at))
    if hold:
        _parse_timestamps(hold, "closed_at", "expires_at")
    return StoredResult(BalanceSnapshot(**snapshot), TierFacts.from_json(stored["tier_facts"]), stored["extras"], hold)


def _parse_timestamps(values: dict[str, Any], *names: str) -> None:
    for name in names:
        values[name] = values[name] and datetime.fromisoformat(values[name])
