"""The subscription of a locked balance, as of an instant."""

from datetime import datetime
from uuid import UUID

from tiers import queries
from tiers.domain import errors
from tiers.domain.subscription_timeline import ENDED, SubscriptionTimeline
from tiers.models import Subscription


def load_timeline(balance_id: UUID, *, at: datetime) -> SubscriptionTimeline:
    """Return the timeline of a subscription that has not ended by ``at``.

    :raises NoSubscriptionError: the balance was never subscribed
    :raises SubscriptionEndedError: the subscription has ended
    """
    subscription = Subscription.objects.filter(pk=balance_id).first()
    if subscription is None:
        raise errors.NoSubscriptionError()
    timeline = queries.timeline_of(subscription, at=at)
    if subscription.status == ENDED:
        assert subscription.ended_at is not None
        raise errors.SubscriptionEndedError(ended_at=subscription.ended_at)
    return timeline
