from collections.abc import Collection

from fluxori.db import statements
from tiers.domain.subscription_timeline import SubscriptionTimeline
from tiers.models import TierChange

_CHANGED = (
    "balance_id",
    "tier_id",
    "scheduled_tier_id",
    "scheduled_at",
    "changes",
    "next_period",
    "next_allocation_at",
)
_WRITE = """
WITH written AS (
    UPDATE tiers_subscription AS s
       SET tier_id = r.tier_id, scheduled_tier_id = r.scheduled_tier_id, scheduled_at = r.scheduled_at,
           changes = r.changes, next_period = r.next_period, next_allocation_at = r.next_allocation_at
      FROM json_populate_recordset(NULL::tiers_subscription, %(rows)s::json) AS r
     WHERE s.balance_id = r.balance_id AND s.balance_id = ANY(%(ids)s::uuid[])
)
SELECT
"""


def write(changed: Collection[SubscriptionTimeline]) -> None:
    """Write these subscriptions as they stand in memory, and the changes of tier that came to light."""
    unwritten = [change for tenure in changed for change in tenure.unwritten]
    if unwritten:
        TierChange.objects.bulk_create(unwritten)
    rows = [{name: getattr(tenure.subscription, name) for name in _CHANGED} for tenure in changed]
    statements.execute(
        _WRITE, {"rows": statements.to_json(rows), "ids": statements.array(row["balance_id"] for row in rows)}
    )
