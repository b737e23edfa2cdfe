"""The provider through which the ledger reads tiers; see ``credits.tier_registry``."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from credits.tier_registry import TierFacts
from fluxori.identity.owner import Owner
from tiers import queries
from tiers.verification import RULES


class SubscriptionTierProvider:
    """Reads subscriptions and tiers for the ledger."""

    def tier_facts(self, balance_ids: Collection[UUID], *, at: datetime) -> dict[UUID, TierFacts]:
        """Return the facts of the balances that have a subscription."""
        return queries.tier_facts_of(balance_ids, at=at)

    def filter_by_tier(self, balances: QuerySet[Any], tier: str, *, at: datetime) -> QuerySet[Any]:
        """Narrow ``balances`` to those on ``tier`` at ``at``; to none if there is no such tier."""
        return balances.filter(pk__in=queries.on_tier(tier, at=at).values("pk"))

    def upcoming_allocations(
        self, owner: Owner, *, at: datetime, until: datetime
    ) -> Sequence[queries.UpcomingAllocation]:
        """Return the allocations that the owner will receive in ``[at, until)``, in order of time."""
        return queries.upcoming_allocations(owner=owner, at=at, until=until)

    def verification_rules(self) -> Sequence[str]:
        """Return the SQL rules about subscriptions, allocations and tier changes."""
        return RULES
