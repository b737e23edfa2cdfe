"""How an operation on one subscription ends: it stores the subscription, and its result has the new tier facts."""

from datetime import datetime, timedelta

from credits.arguments import resolve_timestamp
from credits.domain.errors import InvalidArgumentError
from credits.domain.records import Transaction
from credits.engine.idempotency import RequestIdentity
from credits.engine.locked_balance import LockedBalance, OperationResult
from tiers import queries
from tiers.domain.subscription_timeline import SubscriptionTimeline
from tiers.operations.writing import save_timelines

# How far the clocks of two processes may differ.
_CLOCK_TOLERANCE = timedelta(minutes=5)


def reject_past_instant(balance: LockedBalance, at: datetime | None) -> None:
    """Reject an instant before the last change of the balance, with five minutes for clocks that differ.

    An end or a pause cannot take back what was recorded since.

    :raises InvalidArgumentError: ``in_past`` of ``at``
    """
    if at is not None and balance.at - resolve_timestamp(at) > _CLOCK_TOLERANCE:
        raise InvalidArgumentError.field("at", "in_past", f"The balance last changed at {balance.at.isoformat()}.")


def save_subscription(
    balance: LockedBalance,
    request: RequestIdentity,
    timeline: SubscriptionTimeline,
    transaction: Transaction | None = None,
) -> OperationResult:
    """Store the subscription of a locked balance, and return the result of the request."""
    # The next operation on the balance is dated later than this one, even if the clock of its process is behind.
    balance.state.last_at = balance.at
    save_timelines([timeline])
    return balance.record(
        request, transaction=transaction, tier_facts=queries.subscription_facts(timeline.subscription)
    )
