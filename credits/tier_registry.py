"""The registry through which the ledger learns about subscription tiers, without importing them.

``credits`` never imports ``tiers``. An app that knows about tiers registers one :class:`TierProvider` when it is ready;
without one, balances have no tier. The engine asks for tier facts once for each group of requests, inside its
transaction, and stores them with the idempotent result. Reads use the same provider for the ``tier`` filter, forecasts
and verification.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.db.models import QuerySet

from credits.domain.forecasting import Arrival
from fluxori.identity.owner import Owner


@dataclass(frozen=True, slots=True)
class PendingTier:
    """A scheduled change to ``tier`` that takes effect at ``at``; ``tier`` is None for the end of the subscription."""

    tier: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class TierFacts:
    """The tier of a balance at one instant; all None without a subscription, or after its end.

    ``next_allocation_at`` is the start of the first period that the monthly allocation has not processed; it lies in
    the past while that run is due. It is None while the subscription is paused, and if it ends before.
    """

    tier: str | None = None
    pending_tier: PendingTier | None = None
    next_allocation_at: datetime | None = None
    paused_at: datetime | None = None

    def as_of(self, at: datetime) -> "TierFacts":
        """Return the facts at the same or a later instant: a pending change that is due by then has taken effect."""
        if self.pending_tier is None or self.pending_tier.at > at:
            return self
        if self.pending_tier.tier is None:
            return NO_TIER_FACTS
        return replace(self, tier=self.pending_tier.tier, pending_tier=None)

    def to_json(self) -> dict[str, Any]:
        """Return the facts as stored with a result: timestamps in ISO 8601."""
        pending = self.pending_tier
        return {
            "tier": self.tier,
            "pending_tier": pending and {"tier": pending.tier, "at": pending.at.isoformat()},
            "next_allocation_at": self.next_allocation_at and self.next_allocation_at.isoformat(),
            "paused_at": self.paused_at and self.paused_at.isoformat(),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "TierFacts":
        """Return the facts that :meth:`to_json` made."""
        pending, next_at, paused_at = stored["pending_tier"], stored["next_allocation_at"], stored["paused_at"]
        return cls(
            stored["tier"],
            pending and PendingTier(pending["tier"], datetime.fromisoformat(pending["at"])),
            next_at and datetime.fromisoformat(next_at),
            paused_at and datetime.fromisoformat(paused_at),
        )


# For a balance without a subscription, and for a result that does not contain tier facts.
NO_TIER_FACTS = TierFacts()


class TierProvider(Protocol):
    """What the ledger asks about tiers."""

    def tier_facts(self, balance_ids: Collection[UUID], *, at: datetime) -> dict[UUID, TierFacts]:
        """Return the facts of the balances that have a subscription."""

    def filter_by_tier(self, balances: QuerySet[Any], tier: str, *, at: datetime) -> QuerySet[Any]:
        """Narrow ``balances`` to those on ``tier`` at ``at``; to none if there is no such tier."""

    def upcoming_allocations(self, owner: Owner, *, at: datetime, until: datetime) -> Sequence[Arrival]:
        """Return the allocations that the owner will receive in ``[at, until)``, in order of time."""

    def verification_rules(self) -> Sequence[str]:
        """Return SQL rules that ``credits.verification`` runs together with its own."""


class _NoTiers:
    """The provider of an installation without tiers."""

    def tier_facts(self, balance_ids: Collection[UUID], *, at: datetime) -> dict[UUID, TierFacts]:  # noqa: ARG002
        return {}

    def filter_by_tier(self, balances: QuerySet[Any], tier: str, *, at: datetime) -> QuerySet[Any]:  # noqa: ARG002
        return balances.none()

    def upcoming_allocations(self, owner: Owner, *, at: datetime, until: datetime) -> Sequence[Arrival]:  # noqa: ARG002
        return ()

    def verification_rules(self) -> Sequence[str]:
        return ()


_provider: TierProvider = _NoTiers()


def register(provider: TierProvider) -> None:
    """Install the provider; called once, when the app that knows about tiers is ready."""
    global _provider  # noqa: PLW0603 - one provider for each process
    _provider = provider


def tier_facts(balance_ids: Iterable[UUID], *, at: datetime) -> dict[UUID, TierFacts]:
    """Return the tier facts of every one of the balances at ``at``."""
    ids = list(balance_ids)
    known = _provider.tier_facts(ids, at=at)
    return {balance_id: known.get(balance_id, NO_TIER_FACTS) for balance_id in ids}


def filter_by_tier(balances: QuerySet[Any], tier: str, *, at: datetime) -> QuerySet[Any]:
    """Narrow ``balances`` to those on ``tier`` at ``at``; to none if there is no such tier."""
    return _provider.filter_by_tier(balances, tier, at=at)


def upcoming_allocations(owner: Owner, *, at: datetime, until: datetime) -> Sequence[Arrival]:
    """Return the allocations that the owner will receive in ``[at, until)``, in order of time."""
    return _provider.upcoming_allocations(owner, at=at, until=until)


def verification_rules() -> Sequence[str]:
    """Return the SQL rules of the provider."""
    return _provider.verification_rules()
