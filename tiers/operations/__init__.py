"""The operations on subscriptions and monthly allocations: the only code that writes them.

Each operation owns its transaction and locks the balance first. Grants are planned and written by the ledger, through
``credits.operations``, in the same transaction.
"""

from tiers.domain.constants import EFFECTIVE, PRORATION
from tiers.domain.errors import (
    AlreadyPausedError,
    NoScheduledChangeError,
    NoSubscriptionError,
    NotPausedError,
    SubscriptionEndedError,
    TierNotFoundError,
)
from tiers.operations.add_monthly_allocation import add_monthly_allocation
from tiers.operations.allocate_due import Totals, allocate_due, count_due
from tiers.operations.allocation_runs import finish_run, record_progress, rerun_rejected, start_run
from tiers.operations.end_subscription import end_subscription
from tiers.operations.entitlement import Result, allocation_row, period_description, plan_entitlement_grant
from tiers.operations.initialize_balance import initialize_balance
from tiers.operations.pause_subscription import pause_subscription, resume_subscription
from tiers.operations.update_subscription_tier import (
    Preview,
    cancel_scheduled_change,
    preview_subscription_tier,
    update_subscription_tier,
)

__all__ = [
    "EFFECTIVE",
    "PRORATION",
    "AlreadyPausedError",
    "NoScheduledChangeError",
    "NoSubscriptionError",
    "NotPausedError",
    "Preview",
    "Result",
    "SubscriptionEndedError",
    "TierNotFoundError",
    "Totals",
    "add_monthly_allocation",
    "allocate_due",
    "allocation_row",
    "cancel_scheduled_change",
    "count_due",
    "end_subscription",
    "finish_run",
    "initialize_balance",
    "pause_subscription",
    "period_description",
    "plan_entitlement_grant",
    "preview_subscription_tier",
    "record_progress",
    "rerun_rejected",
    "resume_subscription",
    "start_run",
    "update_subscription_tier",
]
