"""The caller's name for a request: told apart by fingerprint, remembered with the effect it had."""

import hashlib
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from credits.domain.balance_state import BalanceSnapshot, Hold
from credits.engine.validation import Arguments, id_of
from fluxori.core import request_context
from fluxori.core.input_rules import canonical_json, idempotency_key_error

_SNAPSHOT = tuple(each.name for each in fields(BalanceSnapshot))
_HOLD_STATE = ("status", "captured", "closed_at", "expires_at")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was asked, before anything stored was looked at. Without a key it is never remembered."""

    operation: str
    caller: UUID | None
    key: str | None
    fingerprint: bytes
    request_id: str


def ask(operation: str, *, actor: Any, key: str | None, **asked: Any) -> Request:
    """Return the request that these arguments make.

    The fingerprint covers the operation and everything asked, defaults filled; who asks and the key are beside it.

    :raises InvalidArgumentError: if the key is empty, longer than 255, or not printable
    """
    if key is not None:
        arguments = Arguments()
        if (error := idempotency_key_error(key)) is not None:
            arguments.fault("idempotency_key", *error)
        arguments.refuse()
    digest = hashlib.sha256(canonical_json([operation, asked]).encode()).digest() if key is not None else b""
    return Request(operation, id_of(actor), key, digest, request_context.request_id.get())


def spell_answer(after: BalanceSnapshot, alongside: dict[str, Any], hold: Hold | None) -> str:
    """Return the answer as it is remembered: what can change later is written out, the rest is found by its id."""
    state = hold and {name: getattr(hold, name) for name in _HOLD_STATE}
    # Not asdict, which copies every value deeply.
    said = {name: getattr(after, name) for name in _SNAPSHOT}
    return orjson.dumps({"after": said, "alongside": alongside, "hold": state}).decode()


def read_answer(text: str) -> tuple[BalanceSnapshot, dict[str, Any], dict[str, Any] | None]:
    """Return the snapshot, the facts kept alongside it, and how the hold stood."""
    answer = orjson.loads(text)
    said, state = answer["after"], answer["hold"]
    for name in ("id", "user_id", "organization_id"):
        said[name] = said[name] and UUID(said[name])
    _read_times(said, "last_updated", "suspended_at")
    if said["next_expiry"]:
        amount, at = said["next_expiry"]
        said["next_expiry"] = (amount, datetime.fromisoformat(at))
    if state:
        _read_times(state, "closed_at", "expires_at")
    return BalanceSnapshot(**said), answer["alongside"], state


def _read_times(said: dict[str, Any], *names: str) -> None:
    for name in names:
        said[name] = said[name] and datetime.fromisoformat(said[name])
