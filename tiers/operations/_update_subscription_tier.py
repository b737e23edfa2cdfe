from datetime import datetime
from uuid import UUID

from credits import operations as ledger
from credits.operations import Arguments
from fluxori.identity.models import User
from fluxori.identity.owner import Owner, OwnerLike
from tiers import errors, queries
from tiers.models import Subscription, Tier
from tiers.operations._promise import Result, find_tier, result_of
from tiers.periods import period_at

EFFECTIVE = ("now",)
PRORATION = ("none",)


def update_subscription_tier(
    *,
    owner: OwnerLike,
    tier: str,
    effective: str = "now",
    proration: str = "none",
    actor: User | UUID | None = None,
    idempotency_key: str | None = None,
    at: datetime | None = None,
) -> Result:
    """Put the balance on ``tier`` at once. Its credits and its anchor stay; the next allocation follows the new tier.

    :raises InvalidArgumentError: for arguments that could never be right
    :raises BalanceNotFoundError: if nobody opened such a balance
    :raises IdempotencyKeyReusedError: if the key already names a different request
    :raises TierNotFoundError: if there is no such tier
    :raises NoSubscriptionError: if the balance has no tier yet
    """
    arguments = Arguments()
    arguments.text("tier", tier, maximum=64, required=True)
    arguments.choice("effective", effective, EFFECTIVE)
    arguments.choice("proration", proration, PRORATION)
    arguments.refuse()
    request = ledger.ask(
        "update_subscription_tier",
        actor=actor,
        key=idempotency_key,
        tier=tier,
        effective=effective,
        proration=proration,
    )
    return result_of(_update(Owner.of(owner), tier, request, at))


@ledger.whole
def _update(owner: Owner, code: str, request: ledger.Request, at: datetime | None) -> ledger.Answer:
    with ledger.opened(owner, at=at, requests=[request]) as page:
        replayed = page.replay(request)
        if replayed is not None:
            return replayed
        tier = find_tier(code)
        subscription = Subscription.objects.select_related("tier").filter(pk=owner.id).first()
        if subscription is None:
            raise errors.NoSubscriptionError()
        _change(subscription, tier, page.at)
        subscription.save(update_fields=["tier", "high_period", "high_credits", "prorated_credits"])
        return page.record(request, alongside=queries.facts(subscription))


def _change(subscription: Subscription, tier: Tier, at: datetime) -> None:
    """Change the tier, and keep in mind the most that any tier held in this period promises."""
    period = period_at(subscription.anchor, at)
    if subscription.high_period != period:
        subscription.high_period = period
        subscription.high_credits = subscription.tier.monthly_credits
        subscription.prorated_credits = 0
    subscription.high_credits = max(subscription.high_credits, tier.monthly_credits)
    subscription.tier = tier
