"""Reads of tiers, subscriptions and monthly allocations. Nothing here writes or locks.

Callers use the names of this package: ``queries.tier_facts(...)``. Every function that depends on time applies a
scheduled change from the instant it was scheduled for, whether or not the change is stored by then.
"""

from tiers.queries.allocations import (
    UpcomingAllocation,
    allocated_periods,
    due,
    due_among,
    due_by_tier,
    upcoming_allocations,
)
from tiers.queries.subscriptions import (
    credits_of_overlapping_periods,
    held_tier,
    on_tier,
    subscription_facts,
    subscription_of,
    tier_changes,
    tier_facts,
    tier_facts_of,
    timeline_of,
    timelines,
)
from tiers.queries.tiers import TierImpact, is_tier, public_tiers, tier_impact, value_per_credit

__all__ = [
    "TierImpact",
    "UpcomingAllocation",
    "allocated_periods",
    "credits_of_overlapping_periods",
    "due",
    "due_among",
    "due_by_tier",
    "held_tier",
    "is_tier",
    "on_tier",
    "public_tiers",
    "subscription_facts",
    "subscription_of",
    "tier_changes",
    "tier_facts",
    "tier_facts_of",
    "tier_impact",
    "timeline_of",
    "timelines",
    "upcoming_allocations",
    "value_per_credit",
]
