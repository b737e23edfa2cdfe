"""Rejected attempts to spend, counted by hour, so that support can explain them.

A rejected operation leaves the ledger as it was, so the count is a statement of its own after the transaction. It is
best effort: a failure is logged and the caller gets its error all the same. Inside a transaction of the caller it waits
for that commit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction

from fluxori.core.errors import DomainError, ForbiddenError, PaymentRequiredError
from fluxori.core.ids import uuid7
from fluxori.db import statements

_RECORD = (Path(__file__).parent / "sql" / "record_rejected_attempts.sql").read_text(encoding="utf-8")
RETENTION = timedelta(days=90)

# What customers ask about: no credits, a limit, a suspension. Other errors are mistakes of the calling program.
REJECTIONS = (ForbiddenError, PaymentRequiredError)


@dataclass(frozen=True, slots=True)
class Rejection:
    """One rejected attempt on a balance at an instant: the error, the feature, the actor and the member."""

    balance_id: UUID
    error: DomainError
    at: datetime
    feature: str | None = None
    actor_id: UUID | None = None
    member_id: UUID | None = None


def record_rejected_attempts(rejections: Iterable[Rejection]) -> None:
    """Count the rejections under their hours, in one statement after the commit of the current transaction; other
    errors are ignored.

    Rows of these balances that are older than 90 days are deleted.
    """
    rows: dict[tuple[UUID, datetime, str, str], dict[str, Any]] = {}
    for rejection in rejections:
        if not isinstance(rejection.error, REJECTIONS):
            continue
        hour = rejection.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        key = (rejection.balance_id, hour, rejection.error.code, rejection.feature or "")
        earlier = rows[key]["count"] if key in rows else 0
        rows[key] = {
            "id": uuid7(),
            "balance_id": key[0],
            "hour": hour,
            "code": key[2],
            "feature": key[3],
            "count": earlier + 1,
            "last_at": rejection.at,
            "actor_id": rejection.actor_id,
            "member_id": rejection.member_id,
            "facts": rejection.error.facts,
        }
    if rows:
        parameters = {
            "balances": statements.array({balance_id for balance_id, *_ in rows}),
            "oldest": min(row["last_at"] for row in rows.values()) - RETENTION,
            # In one order, so that the statements of two processes do not deadlock.
            "rows": statements.to_json([rows[key] for key in sorted(rows)]),
        }
        transaction.on_commit(lambda: statements.execute(_RECORD, parameters), robust=True)
