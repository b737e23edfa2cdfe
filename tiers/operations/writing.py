"""Store subscriptions and their new changes of tier, many in one statement each."""

from collections.abc import Collection
from dataclasses import asdict

from fluxori.db import statements
from tiers.domain.subscription_timeline import SubscriptionTimeline
from tiers.models import TierChange

_COLUMNS = (
    "balance_id",
    "tier_id",
    "status",
    "scheduled_tier_id",
    "scheduled_at",
    "scheduled_by_id",
    "scheduled_reason",
    "paused_at",
    "ended_at",
    "changes",
    "next_period",
    "next_allocation_at",
)
_UPDATE = """
WITH updated AS (
    UPDATE tiers_subscription AS s
       SET tier_id = r.tier_id, status = r.status, scheduled_tier_id = r.scheduled_tier_id,
           scheduled_at = r.scheduled_at, scheduled_by_id = r.scheduled_by_id,
           scheduled_reason = r.scheduled_reason, paused_at = r.paused_at, ended_at = r.ended_at, changes = r.changes,
           next_period = r.next_period, next_allocation_at = r.next_allocation_at
      FROM json_populate_recordset(NULL::tiers_subscription, %(rows)s::json) AS r
     WHERE s.balance_id = r.balance_id AND s.balance_id = ANY(%(ids)s::uuid[])
)
SELECT
"""


def save_timelines(timelines: Collection[SubscriptionTimeline]) -> None:
    """Store the subscriptions of the timelines as they are in memory, and insert the new entries of their history."""
    new_entries = [entry for timeline in timelines for entry in timeline.new_entries]
    if new_entries:
        TierChange.objects.bulk_create(TierChange(**asdict(entry)) for entry in new_entries)
    rows = [{name: getattr(timeline.subscription, name) for name in _COLUMNS} for timeline in timelines]
    statements.execute(
        _UPDATE, {"rows": statements.to_json(rows), "ids": statements.array(row["balance_id"] for row in rows)}
    )
