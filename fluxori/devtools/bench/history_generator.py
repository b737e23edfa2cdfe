"""The life of one balance, lived on an open page: months that are given, credits that are bought, and what they pay.

Planned by the same arithmetic as every other movement, so that what is written is a ledger like any other. Amounts,
kinds and instants come from the ``chance`` that is handed in; ids of the ledger's rows are new each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from credits import operations as ledger
from credits.domain.due_events import apply_due_events
from credits.domain.records import Transaction, TransactionDetails
from credits.engine.corrections import plan_refund
from credits.engine.deductions import DeductionPlan
from credits.engine.idempotency import build_request
from credits.engine.locked_balance import LockedBalance
from credits.engine.plan_grants import plan_grant
from credits.engine.plan_holds import plan_capture, plan_hold, plan_release
from tiers import operations as tiers
from tiers.domain.periods import period_start
from tiers.domain.entitlement import PeriodEntitlement
from tiers.models import Subscription, Tier
from tiers.queries import subscription_facts

FEATURES = {
    "simple-ai-insight": 50,
    "advanced-ai-analysis": 15,
    "ai-generated-report": 6,
    "realtime-ai-dashboard": 29,
}
_SUBJECTS = ("Spring catalogue", "Abandoned carts", "Returns in Gauteng", "Courier delays", "Price of rooibos")
_PRICES = tuple(map(Decimal, ("0.08", "0.09", "0.11", "0.13")))

# Of a hundred movements that are not months. The rest are usages.
_REFUNDS, _HOLDS, _PROMOTIONS = 2, 4, 1
# Of a hundred usages; their callers sent an idempotency key.
_KEYED = 20
_HOLD_LASTS = timedelta(minutes=15)


@dataclass(slots=True)
class Life:
    """One balance's life, from its first instant up to ``until``, in about ``movements`` transactions.

    ``members`` are who spends: the owner alone, or the people of an organization.
    """

    subscription: Subscription
    tier: Tier
    members: Sequence[UUID]
    until: datetime
    movements: int
    chance: Random
    written: int = 0
    now: datetime = field(init=False)
    _last_refund: int = 0

    def __post_init__(self) -> None:
        self.now = self.subscription.anchor

    @property
    def over(self) -> bool:
        return self.written >= self.movements

    def go_on(self, page: LockedBalance, most: int) -> list[dict[str, Any]]:
        """Live on until ``most`` further transactions are planned, and return the months that were given meanwhile."""
        book = page.book
        wanted = min(most, self.movements - self.written)
        pace = (self.until - self.subscription.anchor).total_seconds() / self.movements
        months: list[dict[str, Any]] = []
        while len(book.transactions) < wanted:
            months += self._months(page)
            self._arrive(page, self.now)
            if len(book.transactions) < wanted:
                self._act(page)
            self.now = min(self.now + timedelta(seconds=self.chance.expovariate(1 / pace)), self.until)
        if self.written + len(book.transactions) >= self.movements:
            # What has fallen due by now is not left for the next run of a command.
            self.now = self.until
            months += self._months(page)
            self._arrive(page, self.until)
        self.written += len(book.transactions)
        page.touch()
        return months

    def _arrive(self, page: LockedBalance, at: datetime) -> None:
        page.at = page.book.recorded_at = max(at, page.book.last_at)
        apply_due_events(page.book, page.at)

    def _months(self, page: LockedBalance) -> list[dict[str, Any]]:
        """Give every month that has begun, each at its first instant."""
        given = []
        subscription = self.subscription
        period = 0 if page.book.sequence == 0 else subscription.next_period
        while (begins := period_start(subscription.anchor, period)) <= self.now:
            self._arrive(page, begins)
            promise = PeriodEntitlement.of(subscription.anchor, self.tier, period)
            request = build_request("allocate_monthly_credits", actor=None, key=None)
            recorded = tiers.plan_entitlement_grant(
                page, request, promise, amount=promise.credits, description=tiers.period_description(promise)
            )
            if period:
                given.append(tiers.allocation_row(page, promise, recorded, None))
            period += 1
        subscription.next_period = max(period, 1)
        subscription.next_allocation_at = period_start(subscription.anchor, subscription.next_period)
        return given

    def _act(self, page: LockedBalance) -> None:
        drawn = self.chance.randrange(100)
        if drawn < _REFUNDS:
            self._refund(page)
        elif drawn < _REFUNDS + _HOLDS:
            self._hold(page)
        elif drawn < _REFUNDS + _HOLDS + _PROMOTIONS:
            lasts = timedelta(days=self.chance.randint(2, 30))
            self._give(page, "promotion", 50 * self.chance.randint(1, 20), expires_at=page.at + lasts)
        else:
            self._spend(page)

    def _give(self, page: LockedBalance, kind: str, amount: int, **terms: object) -> None:
        words = {"description": f"{amount} credits", "reference_id": f"{kind}-{self.chance.getrandbits(40):010x}"}
        plan_grant(
            page, build_request("add_credits", actor=None, key=None), amount=amount, kind=kind, terms=terms, facts=words
        )

    def _wish(self, page: LockedBalance) -> ledger.Deduction:
        """Return what somebody wants now; where there is too little, credits are bought first."""
        [feature] = self.chance.choices(tuple(FEATURES), tuple(FEATURES.values()))
        quantity = self.chance.randint(1, 8) if feature == "realtime-ai-dashboard" else 1
        member = self.chance.choice(self.members)
        keyed = self.chance.randrange(100) < _KEYED
        if page.book.available < page.prices[feature].credits * quantity:
            # What is gone by the middle of a month is bought in packs that last a while.
            self._give(page, "purchase", 500 * self.chance.randint(1, 10), unit_price=self.chance.choice(_PRICES))
        return ledger.Deduction(
            feature=feature,
            quantity=quantity,
            description=self.chance.choice(_SUBJECTS),
            actor=member,
            member=member,
            reference_id=f"work-{self.chance.getrandbits(48):012x}",
            idempotency_key=f"{self.chance.getrandbits(96):024x}" if keyed else None,
            alongside=subscription_facts(self.subscription) if keyed else None,
        )

    def _spend(self, page: LockedBalance) -> None:
        wish = self._wish(page)
        DeductionPlan(wish, wish.request())(page)

    def _hold(self, page: LockedBalance) -> None:
        """Set credits aside, and some minutes later spend them, a part of them, or give them back."""
        wish = self._wish(page)
        request = wish.request()
        placed = plan_hold(page, wish, request, _HOLD_LASTS).hold
        assert placed is not None
        self._arrive(page, page.at + self.chance.random() * _HOLD_LASTS)
        wanted = self.chance.choice((placed.amount, placed.amount, placed.amount // 2, 0))
        ending = replace(request, key=None)
        if wanted:
            plan_capture(page, placed, wanted, ending, None)
        else:
            plan_release(page, placed, ending, None)

    def _refund(self, page: LockedBalance) -> None:
        """Give back all or half of a recent usage that was not refunded before; without one, spend instead."""
        usage = next((recorded for recorded in reversed(page.book.transactions) if self._refundable(recorded)), None)
        if usage is None:
            self._spend(page)
            return
        [paid] = usage.entries
        assert paid.grant_id is not None
        back = -paid.amount if self.chance.randrange(2) else max(-paid.amount // 2, 1)
        said = usage.details
        facts = TransactionDetails(
            description=said.description,
            reference_id=said.reference_id,
            member_id=said.member_id,
            reverses_id=usage.id,
            reason="The result was empty",
        )
        plan_refund(page, [(page.book.grants[paid.grant_id], back)], facts, None)
        page.book.count(-back, said.member_id, usage.timestamp)
        self._last_refund = usage.sequence

    def _refundable(self, recorded: Transaction) -> bool:
        return recorded.type == "usage" and len(recorded.entries) == 1 and recorded.sequence > self._last_refund
