"""Generate the history of one balance in memory: allocations, purchases, promotions, deductions, holds and refunds.

The planners of the operations plan every transaction, so the result is a valid ledger. Amounts, types and timestamps
come from the random generator of the caller; the ids of the rows are new each time. Read next: ``seeding.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from credits import operations as ledger
from credits.domain.records import Transaction, TransactionDetails
from credits.engine.corrections import plan_refund
from credits.engine.deductions import DeductionRequest
from credits.engine.idempotency import build_request
from credits.engine.locked_balance import LockedBalance
from credits.engine.plan_grants import plan_grant
from credits.engine.plan_holds import plan_capture, plan_hold, plan_release
from tiers import operations as tiers
from tiers.domain.entitlement import PeriodEntitlement
from tiers.domain.periods import period_start
from tiers.models import Subscription, Tier

FEATURES = {
    "simple-ai-insight": 50,
    "advanced-ai-analysis": 15,
    "ai-generated-report": 6,
    "realtime-ai-dashboard": 29,
}
_SUBJECTS = ("Spring catalogue", "Abandoned carts", "Returns in Gauteng", "Courier delays", "Price of rooibos")
_PRICES = tuple(map(Decimal, ("0.08", "0.09", "0.11", "0.13")))

# Percentages of the movements that are not allocations. The rest are deductions.
_REFUNDS, _HOLDS, _PROMOTIONS = 2, 4, 1
# The percentage of deductions with an idempotency key.
_KEYED = 20
_HOLD_LIFETIME = timedelta(minutes=15)


@dataclass(slots=True)
class BalanceHistory:
    """The history of one balance, from its creation to ``until``, in about ``movements`` transactions.

    ``members`` spend the credits: the owner, or members of the organization.
    """

    subscription: Subscription
    tier: Tier
    members: Sequence[UUID]
    until: datetime
    movements: int
    rng: Random
    written: int = 0
    now: datetime = field(init=False)
    _last_refund: int = 0

    def __post_init__(self) -> None:
        self.now = self.subscription.anchor

    @property
    def is_complete(self) -> bool:
        return self.written >= self.movements

    def generate(self, balance: LockedBalance, limit: int) -> list[dict[str, Any]]:
        """Plan up to ``limit`` further transactions, and return the rows of the monthly allocations among them."""
        state = balance.state
        wanted = min(limit, self.movements - self.written)
        mean_interval = (self.until - self.subscription.anchor).total_seconds() / self.movements
        allocations: list[dict[str, Any]] = []
        while len(state.transactions) < wanted:
            allocations += self._allocate(balance)
            self._advance(balance, self.now)
            if len(state.transactions) < wanted:
                self._random_movement(balance)
            self.now = min(self.now + timedelta(seconds=self.rng.expovariate(1 / mean_interval)), self.until)
        if self.written + len(state.transactions) >= self.movements:
            # Apply everything that is due at the end. The commands then have nothing left to do.
            self.now = self.until
            allocations += self._allocate(balance)
            self._advance(balance, self.until)
        self.written += len(state.transactions)
        balance.mark_changed()
        return allocations

    def _advance(self, balance: LockedBalance, at: datetime) -> None:
        balance.state.recorded_at = max(at, balance.state.last_at)
        balance.advance_to(at)

    def _allocate(self, balance: LockedBalance) -> list[dict[str, Any]]:
        """Plan the allocation of every period that has begun, each at its start."""
        rows = []
        subscription = self.subscription
        period = 0 if balance.state.sequence == 0 else subscription.next_period
        while (starts_at := period_start(subscription.anchor, period)) <= self.now:
            self._advance(balance, starts_at)
            entitlement = PeriodEntitlement.of(subscription.anchor, self.tier, period)
            request = build_request("allocate_monthly_credits", actor=None, key=None)
            recorded = tiers.plan_entitlement_grant(
                balance,
                request,
                entitlement,
                amount=entitlement.credits,
                description=tiers.period_description(entitlement),
            )
            if period:
                rows.append(tiers.allocation_row(balance, entitlement, recorded, None))
            period += 1
        subscription.next_period = max(period, 1)
        subscription.next_allocation_at = period_start(subscription.anchor, subscription.next_period)
        return rows

    def _random_movement(self, balance: LockedBalance) -> None:
        percentile = self.rng.randrange(100)
        if percentile < _REFUNDS:
            self._refund(balance)
        elif percentile < _REFUNDS + _HOLDS:
            self._hold(balance)
        elif percentile < _REFUNDS + _HOLDS + _PROMOTIONS:
            lifetime = timedelta(days=self.rng.randint(2, 30))
            self._grant(balance, "promotion", 50 * self.rng.randint(1, 20), expires_at=balance.at + lifetime)
        else:
            self._spend(balance)

    def _grant(self, balance: LockedBalance, kind: str, amount: int, **terms: object) -> None:
        details = {"description": f"{amount} credits", "reference_id": f"{kind}-{self.rng.getrandbits(40):010x}"}
        request = build_request("add_credits", actor=None, key=None)
        plan_grant(balance, request, amount=amount, kind=kind, terms=terms, details=details)

    def _random_deduction(self, balance: LockedBalance) -> ledger.Deduction:
        """Return a random deduction. If the balance is too low, plan a purchase first."""
        [feature] = self.rng.choices(tuple(FEATURES), tuple(FEATURES.values()))
        quantity = self.rng.randint(1, 8) if feature == "realtime-ai-dashboard" else 1
        member = self.rng.choice(self.members)
        keyed = self.rng.randrange(100) < _KEYED
        price = balance.current_price(feature)
        assert price is not None
        if balance.state.available < price.credits * quantity:
            # Purchases are large enough for a while.
            self._grant(balance, "purchase", 500 * self.rng.randint(1, 10), unit_price=self.rng.choice(_PRICES))
        return ledger.Deduction(
            feature=feature,
            quantity=quantity,
            description=self.rng.choice(_SUBJECTS),
            actor=member,
            member=member,
            reference_id=f"work-{self.rng.getrandbits(48):012x}",
            idempotency_key=f"{self.rng.getrandbits(96):024x}" if keyed else None,
        )

    def _spend(self, balance: LockedBalance) -> None:
        deduction = self._random_deduction(balance)
        DeductionRequest(deduction, deduction.build_identity(), balance.at).apply_to(balance)

    def _hold(self, balance: LockedBalance) -> None:
        """Place a hold and, some minutes later, capture it wholly or partly, or release it."""
        deduction = self._random_deduction(balance)
        request = deduction.build_identity()
        placed = plan_hold(balance, deduction, request, _HOLD_LIFETIME).hold
        assert placed is not None
        self._advance(balance, balance.at + self.rng.random() * _HOLD_LIFETIME)
        wanted = self.rng.choice((placed.amount, placed.amount, placed.amount // 2, 0))
        ending = replace(request, key=None)
        if wanted:
            plan_capture(balance, placed, wanted, ending)
        else:
            plan_release(balance, placed, ending)

    def _refund(self, balance: LockedBalance) -> None:
        """Refund all or half of a recent usage that has no refund. Without one, deduct instead."""
        usage = next(
            (recorded for recorded in reversed(balance.state.transactions) if self._refundable(recorded)), None
        )
        if usage is None:
            self._spend(balance)
            return
        [paid] = usage.entries
        assert paid.grant_id is not None
        back = -paid.amount if self.rng.randrange(2) else max(-paid.amount // 2, 1)
        details = usage.details
        refund_details = TransactionDetails(
            description=details.description,
            reference_id=details.reference_id,
            member_id=details.member_id,
            reverses_id=usage.id,
            reason="The result was empty",
        )
        plan_refund(balance, [(balance.state.grants[paid.grant_id], back)], refund_details, None)
        balance.state.count_toward_limits(-back, details.member_id, usage.timestamp)
        self._last_refund = usage.sequence

    def _refundable(self, transaction: Transaction) -> bool:
        has_one_entry = len(transaction.entries) == 1
        return transaction.type == "usage" and has_one_entry and transaction.sequence > self._last_refund
