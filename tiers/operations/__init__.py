"""The only code that writes subscriptions and allocations; it enters the ledger through ``credits.operations``."""

from tiers.errors import NoSubscriptionError, TierNotFoundError
from tiers.operations._add_monthly_allocation import add_monthly_allocation
from tiers.operations._allocate_due import Totals, allocate_due, count_due, finish_run, start_run
from tiers.operations._initialize_balance import initialize_balance
from tiers.operations._promise import Promise, Result
from tiers.operations._update_subscription_tier import update_subscription_tier

__all__ = [
    "NoSubscriptionError",
    "Promise",
    "Result",
    "TierNotFoundError",
    "Totals",
    "add_monthly_allocation",
    "allocate_due",
    "count_due",
    "finish_run",
    "initialize_balance",
    "start_run",
    "update_subscription_tier",
]
