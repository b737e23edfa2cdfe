"""The tables of tiers, subscriptions and monthly allocations: columns and constraints only.

Only ``tiers.operations`` writes subscriptions, changes of tier and allocations. Staff edit tiers and recovery costs in
the admin.
"""

from tiers.models.allocation import AllocationRun, MonthlyAllocation
from tiers.models.subscription import PastSubscription, Subscription, TierChange
from tiers.models.tier import RecoveryCost, Tier

__all__ = [
    "AllocationRun",
    "MonthlyAllocation",
    "PastSubscription",
    "RecoveryCost",
    "Subscription",
    "Tier",
    "TierChange",
]
