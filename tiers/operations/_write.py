from collections.abc import Collection

from django.db import connection

from tiers.models import TierChange
from tiers.tenure import Tenure


def write(changed: Collection[Tenure]) -> None:
    """Write these subscriptions as they stand in memory, and the changes of tier that came to light."""
    unwritten = [change for tenure in changed for change in tenure.unwritten]
    if unwritten:
        TierChange.objects.bulk_create(unwritten)
    rows = [tenure.subscription for tenure in changed]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE tiers_subscription AS s
               SET tier_id = v.tier_id, scheduled_tier_id = v.scheduled_tier_id, scheduled_at = v.scheduled_at,
                   changes = v.changes, next_period = v.next_period, next_allocation_at = v.next_allocation_at
              FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::timestamptz[], %s::int[], %s::int[],
                          %s::timestamptz[])
                   AS v (id, tier_id, scheduled_tier_id, scheduled_at, changes, next_period, next_allocation_at)
             WHERE s.balance_id = v.id
            """,
            [
                [row.pk for row in rows],
                [row.tier_id for row in rows],
                [row.scheduled_tier_id for row in rows],
                [row.scheduled_at for row in rows],
                [row.changes for row in rows],
                [row.next_period for row in rows],
                [row.next_allocation_at for row in rows],
            ],
        )
