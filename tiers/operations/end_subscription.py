"""End a subscription, now or when the current period ends."""

from datetime import datetime
from uuid import UUID

from credits.arguments import Validator
from credits.domain import constants as ledger
from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import OperationResult, lock_balance
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike
from tiers.domain import constants, errors
from tiers.domain.subscription_timeline import SubscriptionTimeline
from tiers.operations.entitlement import Result, result_of
from tiers.operations.loading import load_timeline
from tiers.operations.saving import reject_past_instant, save_subscription
from tiers.operations.settling import settle_subscription


@measured
def end_subscription(
    *,
    owner: OwnerLike,
    effective: str = "now",
    reason: str = "",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> Result:
    """End the balance's subscription: it gets no further months. What was granted stays, with its own expiry.

    ``effective="now"`` ends it at once, ``"nextPeriod"`` at the start of the next period, without a job. Until then
    :func:`cancel_scheduled_change` cancels the end, and a change of tier replaces it. Either value replaces a change of
    tier that was scheduled. Periods that began before the end and that the monthly run has not processed are allocated,
    as that run would. ``initialize_balance`` subscribes the balance again.

    ``at`` is the instant of the request. It may be up to five minutes before the last change of the balance; it then
    takes effect at that change.

    :raises InvalidArgumentError: an argument is not valid
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises InvalidArgumentError: ``in_past`` of ``at``: it is before the last change of the balance
    :raises NoSubscriptionError: the balance was never subscribed
    :raises SubscriptionEndedError: the subscription has ended, or its end is scheduled already for ``nextPeriod``
    """
    validator = Validator()
    validator.choice("effective", effective, constants.EFFECTIVE)
    validator.string("reason", reason, maximum=ledger.MAX_REASON)
    validator.raise_if_invalid()
    request = build_request("end_subscription", actor=actor, key=idempotency_key, effective=effective, reason=reason)
    return result_of(_end(Owner.of(owner), request, at, effective=effective, reason=reason))


@transaction_with_retry
def _end(
    owner: Owner, request: RequestIdentity, at: datetime | None, *, effective: str, reason: str
) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request]) as balance:
        replayed = balance.find_result(request)
        if replayed is not None:
            return replayed
        reject_past_instant(balance, at)
        timeline = load_timeline(owner.id, at=balance.at)
        if effective == "nextPeriod":
            _schedule(timeline, balance.at, request.caller, reason)
        else:
            settle_subscription(balance, timeline, at=balance.at)
            timeline.end(balance.at, actor_id=request.caller, reason=reason)
        return save_subscription(balance, request, timeline)


def _schedule(timeline: SubscriptionTimeline, at: datetime, actor_id: UUID | None, reason: str) -> None:
    if timeline.ends_at is not None:
        raise errors.SubscriptionEndedError(ended_at=timeline.ends_at)
    ends_at = timeline.period_start(timeline.period_at(at) + 1)
    timeline.schedule_change(None, ends_at, actor_id=actor_id, reason=reason)
