"""Record that the ledger was verified."""

from datetime import datetime
from uuid import UUID

from credits.models import VerificationRun
from fluxori.core.ids import uuid7


def record_verification(
    *,
    started_at: datetime,
    finished_at: datetime,
    balances: int,
    transactions: int,
    differences: int,
    run_id: UUID | None = None,
) -> None:
    """Record the end of a run of ``verify_ledger`` over all balances, for the metrics."""
    VerificationRun.objects.create(
        id=run_id or uuid7(),
        started_at=started_at,
        finished_at=finished_at,
        balances=balances,
        transactions=transactions,
        differences=differences,
    )
