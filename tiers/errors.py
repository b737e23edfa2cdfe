"""Every reason the tiers have to refuse, each with its stable code."""

from fluxori.kernel.errors import Conflict, NotFound


class TierNotFoundError(NotFound):
    code = "tier_not_found"
    title = "There is no such tier"

    def __init__(self, *, tier: str) -> None:
        super().__init__(tier=tier)


class NoSubscriptionError(Conflict):
    code = "no_subscription"
    title = "The balance has no tier"


class NoScheduledChangeError(Conflict):
    code = "no_scheduled_change"
    title = "No change of tier is scheduled"
