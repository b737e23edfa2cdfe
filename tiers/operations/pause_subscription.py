"""Pause a subscription, and resume it."""

from datetime import datetime, timedelta
from uuid import UUID

from credits.arguments import Validator
from credits.domain import constants as ledger
from credits.engine.idempotency import RequestIdentity, build_request
from credits.engine.locked_balance import OperationResult, lock_balance
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike
from tiers.domain import errors
from tiers.operations.entitlement import Result, result_of
from tiers.operations.loading import load_timeline
from tiers.operations.saving import reject_past_instant, save_subscription
from tiers.operations.settling import settle_subscription

_MICROSECOND = timedelta(microseconds=1)


@measured
def pause_subscription(
    *,
    owner: OwnerLike,
    reason: str = "",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> Result:
    """Pause the balance's subscription: a period that begins while it is paused is skipped, and recorded so.

    The anchor and the credits stay. A change of tier or an end that is scheduled still takes effect.

    ``at`` is the instant of the request. It may be up to five minutes before the last change of the balance; it then
    takes effect at that change.

    :raises InvalidArgumentError: an argument is not valid
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises InvalidArgumentError: ``in_past`` of ``at``: it is before the last change of the balance
    :raises NoSubscriptionError: the balance was never subscribed
    :raises SubscriptionEndedError: the subscription has ended
    :raises AlreadyPausedError: the subscription is paused
    """
    request = _request("pause_subscription", actor, idempotency_key, reason)
    return result_of(_pause(Owner.of(owner), request, at, reason=reason))


@measured
def resume_subscription(
    *,
    owner: OwnerLike,
    reason: str = "",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> Result:
    """Resume the balance's subscription: the periods that begin from now on are allocated again.

    Nothing is given for the periods that began while it was paused; those that the monthly run has not processed are
    recorded as skipped. The anchor stays.

    ``at`` is the instant of the request. It may be up to five minutes before the last change of the balance; it then
    takes effect at that change.

    :raises InvalidArgumentError: an argument is not valid
    :raises BalanceNotFoundError: the owner has no balance
    :raises IdempotencyKeyReusedError: the key was used for a different request
    :raises InvalidArgumentError: ``in_past`` of ``at``: it is before the last change of the balance
    :raises NoSubscriptionError: the balance was never subscribed
    :raises SubscriptionEndedError: the subscription has ended
    :raises NotPausedError: the subscription is not paused
    """
    request = _request("resume_subscription", actor, idempotency_key, reason)
    return result_of(_resume(Owner.of(owner), request, at, reason=reason))


def _request(operation: str, actor: User | UUID | None, key: str | None, reason: str) -> RequestIdentity:
    validator = Validator()
    validator.string("reason", reason, maximum=ledger.MAX_REASON)
    validator.raise_if_invalid()
    return build_request(operation, actor=actor, key=key, reason=reason)


@transaction_with_retry
def _pause(owner: Owner, request: RequestIdentity, at: datetime | None, *, reason: str) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request]) as balance:
        replayed = balance.find_result(request)
        if replayed is not None:
            return replayed
        reject_past_instant(balance, at)
        timeline = load_timeline(owner.id, at=balance.at)
        paused_at = timeline.subscription.paused_at
        if paused_at is not None:
            raise errors.AlreadyPausedError(paused_at=paused_at)
        timeline.pause(balance.at, actor_id=request.caller, reason=reason)
        return save_subscription(balance, request, timeline)


@transaction_with_retry
def _resume(owner: Owner, request: RequestIdentity, at: datetime | None, *, reason: str) -> OperationResult:
    with lock_balance(owner, at=at, requests=[request]) as balance:
        replayed = balance.find_result(request)
        if replayed is not None:
            return replayed
        reject_past_instant(balance, at)
        timeline = load_timeline(owner.id, at=balance.at)
        if timeline.subscription.paused_at is None:
            raise errors.NotPausedError()
        # A period that begins at the instant of the resumption is not paused at its first instant.
        settle_subscription(balance, timeline, at=balance.at - _MICROSECOND)
        timeline.resume(balance.at, actor_id=request.caller, reason=reason)
        return save_subscription(balance, request, timeline)
