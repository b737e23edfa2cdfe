"""The errors of the tiers, one class for each reason, each with its stable code."""

from datetime import datetime

from fluxori.core.errors import ConflictError, NotFoundError


class TierNotFoundError(NotFoundError):
    code = "tier_not_found"
    title = "There is no such tier"

    def __init__(self, *, tier: str) -> None:
        super().__init__(tier=tier)


class NoSubscriptionError(ConflictError):
    code = "no_subscription"
    title = "The balance has no tier"


class NoScheduledChangeError(ConflictError):
    code = "no_scheduled_change"
    title = "No change of tier and no end is scheduled"


class SubscriptionEndedError(ConflictError):
    """``ended_at`` is the instant of the end, which may lie ahead if the end is scheduled."""

    code = "subscription_ended"
    title = "The subscription has ended, or its end is scheduled"

    def __init__(self, *, ended_at: datetime) -> None:
        super().__init__(ended_at=ended_at)


class AlreadyPausedError(ConflictError):
    code = "already_paused"
    title = "The subscription is paused already"

    def __init__(self, *, paused_at: datetime) -> None:
        super().__init__(paused_at=paused_at)


class NotPausedError(ConflictError):
    code = "not_paused"
    title = "The subscription is not paused"
