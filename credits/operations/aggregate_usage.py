"""Aggregate transactions into the usage roll-ups."""

from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from uuid import UUID

from credits.models import AggregationRun, UsageWatermark
from fluxori.core.ids import uuid7
from fluxori.db import statements
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry

_AGGREGATE = (Path(__file__).parents[1] / "engine" / "sql" / "aggregate_usage.sql").read_text(encoding="utf-8")


@measured
@transaction_with_retry
def aggregate_usage(*, balance_ids: Collection[UUID], most: int) -> dict[UUID, int]:
    """Add the transactions of these balances beyond their watermarks to roll-ups and totals, and move the watermarks.

    At most ``most`` transactions, in order of the balance's id; fewer means that nothing is left. It reads the
    committed ledger and takes no lock of a balance. Reads take what is not aggregated from the ledger, so nothing waits
    for it. Running it twice, or twice at once, adds nothing twice: the watermark of a balance is locked and moves with
    the sums. Returns how many transactions of which balances were aggregated.
    """
    ids = sorted(balance_ids)
    UsageWatermark.objects.bulk_create(
        [UsageWatermark(balance_id=key, sequence=0) for key in ids], ignore_conflicts=True
    )
    # A statement of its own: one that waited for the lock would start from the watermark before the wait.
    list(UsageWatermark.objects.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True).values_list("pk"))
    rows = statements.fetch(_AGGREGATE, {"balances": ids, "most": most})
    return {row["balance_id"]: row["aggregated"] for row in rows}


def finish_aggregation(
    *, started_at: datetime, finished_at: datetime, transactions: int, busy: int, run_id: UUID | None = None
) -> None:
    """Record the end of a run over all balances: the totals now have everything written before ``started_at``."""
    AggregationRun.objects.create(
        id=run_id or uuid7(), started_at=started_at, finished_at=finished_at, transactions=transactions, busy=busy
    )
