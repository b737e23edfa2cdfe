"""Record that the ledger was verified."""

from datetime import datetime

from credits.models import VerificationRun


def record_verification(
    *, started_at: datetime, finished_at: datetime, balances: int, transactions: int, differences: int
) -> None:
    """Record the end of a run of ``verify_ledger`` over all balances, for the metrics."""
    VerificationRun.objects.create(
        started_at=started_at,
        finished_at=finished_at,
        balances=balances,
        transactions=transactions,
        differences=differences,
    )
