"""The errors of the tiers, one class for each reason, each with its stable code."""

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
    title = "No change of tier is scheduled"
