from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.db import connection

from credits.models import AggregationRun, UsageWatermark
from fluxori.db.transactions import whole

_FOLD = (Path(__file__).parents[1] / "engine" / "sql" / "aggregate_usage.sql").read_text(encoding="utf-8")


@whole
def aggregate_usage(*, balance_ids: Collection[UUID], most: int) -> dict[UUID, int]:
    """Add the transactions of these balances that are not in the sums yet to roll-ups and totals.

    At most ``most`` of them, in order of the balance's id: less than that means that nothing is left. It reads the
    ledger as it is committed and waits for no spending; nobody has to wait for it either, since what is not folded is
    read from the ledger. Repeating it, or running it twice at once, adds nothing twice: the watermark of a balance is
    locked, and moves with the sums. Returns how many transactions were folded of which balances.
    """
    ids = sorted(balance_ids)
    UsageWatermark.objects.bulk_create(
        [UsageWatermark(balance_id=key, sequence=0) for key in ids], ignore_conflicts=True
    )
    # Read in a statement of their own, or one that waited would add from the watermark of before.
    list(UsageWatermark.objects.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True).values_list("pk"))
    with connection.cursor() as cursor:
        cursor.execute(_FOLD, {"balances": ids, "most": most})
        return dict(cursor.fetchall())


def finish_aggregation(*, started_at: datetime, finished_at: datetime, transactions: int, busy: int) -> None:
    """Record that a run over all balances came to its end: the totals now hold all that was written before it began."""
    AggregationRun.objects.create(started_at=started_at, finished_at=finished_at, transactions=transactions, busy=busy)
