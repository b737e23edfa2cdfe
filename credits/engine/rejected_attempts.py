"""Attempts to spend that were refused: counted for the support desk once the refused operation is over.

A refusal leaves the ledger as it was, so the count is a statement of its own, after the rollback. It is best effort: a
count that fails is logged and the refusal is answered all the same; inside a caller's own transaction it waits for the
commit, and a rollback takes it along.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from fluxori.core import clock
from fluxori.core.errors import DomainError, ForbiddenError, PaymentRequiredError
from fluxori.core.ids import uuid7
from fluxori.db import statements

_COUNT = (Path(__file__).parent / "sql" / "rejected_attempts.sql").read_text(encoding="utf-8")
KEPT = timedelta(days=90)

# What a customer asks about: no credits, a limit, a suspension. A mistake of the caller's is the caller's to read.
SPENDING = (ForbiddenError, PaymentRequiredError)


@dataclass(frozen=True, slots=True)
class Refused:
    """One attempt to spend that was refused: why, on what, by whom and for whom."""

    refusal: DomainError
    feature: str | None
    actor_id: UUID | None
    member_id: UUID | None


def record_rejected_attempts(balance_id: UUID, refused: Iterable[Refused], at: datetime | None) -> None:
    """Count these attempts under the hour of ``at``, as soon as no transaction is open; others than spending are none.

    Rows older than ninety days of the same balance are forgotten.
    """
    when = at or clock.now()
    counted: dict[tuple[str, str], dict[str, Any]] = {}
    for attempt in refused:
        if not isinstance(attempt.refusal, SPENDING):
            continue
        key = (attempt.refusal.code, attempt.feature or "")
        earlier = counted[key]["count"] if key in counted else 0
        counted[key] = {
            "id": uuid7(),
            "hour": when.astimezone(UTC).replace(minute=0, second=0, microsecond=0),
            "code": key[0],
            "feature": key[1],
            "count": earlier + 1,
            "last_at": when,
            "actor_id": attempt.actor_id,
            "member_id": attempt.member_id,
            "facts": attempt.refusal.facts,
        }
    if counted:
        document = statements.to_json(list(counted.values()))

        def write() -> None:
            with connection.cursor() as cursor:
                cursor.execute(_COUNT, {"balance": balance_id, "oldest": when - KEPT, "rows": document})

        transaction.on_commit(write, robust=True)
