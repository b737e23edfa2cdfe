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

from credits.arguments import id_of
from credits.engine.deductions import Deduction
from fluxori.core import clock
from fluxori.core.errors import DomainError, ForbiddenError, PaymentRequiredError
from fluxori.core.ids import uuid7
from fluxori.db import statements

_RECORD = (Path(__file__).parent / "sql" / "record_rejected_attempts.sql").read_text(encoding="utf-8")
RETENTION = timedelta(days=90)

# What customers ask about: no credits, a limit, a suspension. Other errors are mistakes of the calling program.
REJECTIONS = (ForbiddenError, PaymentRequiredError)


@dataclass(frozen=True, slots=True)
class Rejection:
    """One rejected attempt: the error, the feature, the actor and the member."""

    error: DomainError
    feature: str | None
    actor_id: UUID | None
    member_id: UUID | None

    @classmethod
    def of(cls, deduction: Deduction, error: DomainError) -> "Rejection":
        """Return the rejection of a deduction."""
        return cls(error, deduction.feature, id_of(deduction.actor), id_of(deduction.member))


def record_rejected_attempts(balance_id: UUID, rejections: Iterable[Rejection], at: datetime | None) -> None:
    """Count the rejections under the hour of ``at``, after the commit of the current transaction; other errors are
    ignored.

    Rows of the balance that are older than 90 days are deleted.
    """
    when = at or clock.now()
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for rejection in rejections:
        if not isinstance(rejection.error, REJECTIONS):
            continue
        key = (rejection.error.code, rejection.feature or "")
        earlier = rows[key]["count"] if key in rows else 0
        rows[key] = {
            "id": uuid7(),
            "hour": when.astimezone(UTC).replace(minute=0, second=0, microsecond=0),
            "code": key[0],
            "feature": key[1],
            "count": earlier + 1,
            "last_at": when,
            "actor_id": rejection.actor_id,
            "member_id": rejection.member_id,
            "facts": rejection.error.facts,
        }
    if rows:
        parameters = {
            "balance": balance_id,
            "oldest": when - RETENTION,
            "rows": statements.to_json(list(rows.values())),
        }
        transaction.on_commit(lambda: statements.execute(_RECORD, parameters), robust=True)
