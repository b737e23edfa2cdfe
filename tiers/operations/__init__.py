"""The only code that writes subscriptions and allocations; it enters the ledger through ``credits.operations``."""

from tiers.domain.errors import NoScheduledChangeError, NoSubscriptionError, TierNotFoundError
from tiers.operations.add_monthly_allocation import add_monthly_allocation
from tiers.operations.allocate_due import (
    Totals,
    allocate_due,
    count_due,
    finish_run,
    note_run,
    rerun_refused,
    start_run,
)
from tiers.operations.entitlement import Result, allocation_row, describe, keep
from tiers.operations.initialize_balance import initialize_balance
from tiers.operations.update_subscription_tier import (
    EFFECTIVE,
    PRORATION,
    Preview,
    cancel_scheduled_change,
    preview_subscription_tier,
    prorate,
    update_subscription_tier,
)

__all__ = [
    "EFFECTIVE",
    "PRORATION",
    "NoScheduledChangeError",
    "NoSubscriptionError",
    "Preview",
    "Result",
    "TierNotFoundError",
    "Totals",
    "add_monthly_allocation",
    "allocate_due",
    "allocation_row",
    "cancel_scheduled_change",
    "count_due",
    "describe",
    "finish_run",
    "initialize_balance",
    "keep",
    "note_run",
    "preview_subscription_tier",
    "prorate",
    "rerun_refused",
    "start_run",
    "update_subscription_tier",
]
