"""What a subscription is entitled to for one period: the credits, their expiry, and how much of them rolls over.

Pure: the subscription is read through its anchor, the tier through the :class:`TierTerms` protocol. Which tier counts
for a period is decided in ``subscription_timeline.py``.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tiers.domain import constants
from tiers.domain.periods import period_start


class TierTerms(Protocol):
    """The attributes of a tier that decide about credits; ``tiers.models.Tier`` has them."""

    @property
    def code(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def monthly_credits(self) -> int: ...
    @property
    def rollover(self) -> str: ...
    @property
    def rollover_cap_credits(self) -> int | None: ...
    @property
    def rollover_cap_percent(self) -> int | None: ...
    @property
    def rollover_months(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class PeriodEntitlement:
    """One period of one subscription: its bounds, its tier, and the whole credits that are still to be granted for it.

    The credits expire at ``expires_at``, the end of the period, or never (None). Up to ``roll_cap`` of the credits that
    are left then may roll over; these are spendable until ``roll_until``, or without an end (None).
    """

    period: int
    starts_at: datetime
    ends_at: datetime
    tier: TierTerms
    credits: int
    expires_at: datetime | None
    roll_cap: int | None
    roll_until: datetime | None

    @classmethod
    def of(
        cls, anchor: datetime, tier: TierTerms, period: int, *, first_period: int = 0, granted: int = 0
    ) -> "PeriodEntitlement":
        """Return what ``tier`` grants for the period, less the credits ``granted`` in it already.

        ``first_period`` is the number of the period that begins at ``anchor``.
        """
        months_after_anchor = period - first_period
        ends_at = period_start(anchor, months_after_anchor + 1)
        never_expires = tier.rollover == constants.ROLLOVER_UNLIMITED
        months = tier.rollover_months
        return cls(
            period=period,
            starts_at=period_start(anchor, months_after_anchor),
            ends_at=ends_at,
            tier=tier,
            credits=max(tier.monthly_credits - granted, 0),
            expires_at=None if never_expires else ends_at,
            roll_cap=rollover_cap(tier),
            # Counted from the anchor, like the period itself, so it does not drift.
            roll_until=None if months is None else period_start(anchor, months_after_anchor + 1 + months),
        )

    def is_over(self, at: datetime) -> bool:
        """Return whether the credits would have expired by ``at``."""
        return self.expires_at is not None and self.expires_at <= at

    def credits_due(self, at: datetime) -> int:
        """Return the whole credits to grant for the period at ``at``.

        Until the period is over: all of them. Afterwards: what would have rolled over if the credits had been granted
        in time and not spent. That is up to the cap, or 0 if the rolled-over credits would have expired too.
        """
        if not self.is_over(at):
            return self.credits
        if self.roll_cap is None or (self.roll_until is not None and self.roll_until <= at):
            return 0
        return min(self.credits, self.roll_cap)


def rollover_cap(tier: TierTerms) -> int | None:
    """Return how many credits of the tier may be rolled over at a time; None where its policy is not ``capped``.

    A tier has a cap in credits, a cap in percent of its monthly credits (rounded down), or both; the smaller counts.
    """
    caps = []
    if tier.rollover_cap_credits is not None:
        caps.append(tier.rollover_cap_credits)
    if tier.rollover_cap_percent is not None:
        caps.append(tier.monthly_credits * tier.rollover_cap_percent // 100)
    return min(caps, default=None)
