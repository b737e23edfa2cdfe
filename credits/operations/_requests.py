"""The caller's name for a request: told apart by fingerprint, remembered with the effect it had."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from credits import bounds
from credits.book import Snapshot
from credits.models import CreditRequest
from credits.operations._arguments import Arguments, canonical_json, id_of


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was asked, before anything stored was looked at. Without a key it is never remembered."""

    operation: str
    caller: UUID | None
    key: str | None
    fingerprint: bytes


def ask(operation: str, *, actor: Any, key: str | None, **asked: Any) -> Request:
    """Return the request that these arguments make.

    The fingerprint covers the operation and everything asked, defaults filled; who asks and the key are beside it.

    :raises InvalidArgumentError: if the key is empty, longer than 255, or not printable
    """
    if key is not None:
        arguments = Arguments()
        if not isinstance(key, str) or not key or not key.isprintable():
            arguments.fault("idempotency_key", "wrong_type", "Printable characters are needed.")
        elif len(key) > bounds.MAX_IDEMPOTENCY_KEY:
            arguments.fault("idempotency_key", "key_too_long", f"At most {bounds.MAX_IDEMPOTENCY_KEY} characters.")
        arguments.refuse()
    digest = hashlib.sha256(canonical_json([operation, asked]).encode()).digest() if key is not None else b""
    return Request(operation, id_of(actor), key, digest)


def earlier(balance_id: UUID, requests: Sequence[Request]) -> dict[tuple[UUID | None, str], CreditRequest]:
    """Return what is remembered of these requests' keys on one balance."""
    keys = {request.key for request in requests if request.key is not None}
    if not keys:
        return {}
    callers = {request.caller for request in requests}
    known = CreditRequest.objects.filter(balance_id=balance_id, key__in=keys)
    return {(row.caller_id, row.key): row for row in known if row.caller_id in callers}


def spell_answer(after: Snapshot, alongside: dict[str, Any]) -> str:
    """Return the answer as it is remembered."""
    return canonical_json({"after": asdict(after), "alongside": alongside})


def read_answer(text: str) -> tuple[Snapshot, dict[str, Any]]:
    """Return the snapshot and the facts kept alongside it."""
    answer = json.loads(text)
    said = answer["after"]
    for name in ("id", "user_id", "organization_id"):
        said[name] = said[name] and UUID(said[name])
    for name in ("last_updated", "suspended_at"):
        said[name] = said[name] and datetime.fromisoformat(said[name])
    if said["next_expiry"]:
        amount, at = said["next_expiry"]
        said["next_expiry"] = (amount, datetime.fromisoformat(at))
    assert said.keys() == {field.name for field in fields(Snapshot)}
    return Snapshot(**said), answer["alongside"]
