"""A model of the subscription of one balance, written independently of ``tiers``, on top of the model of the balance.

It stores what happened: for each subscription its anchor, its pauses and its end, and for each period what it gave.
What is due, what is skipped and what an overlapping period gave is computed from that when it is needed.
"""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from tests.model.balance import Balance, Outcome, RejectedError, Request, Result, invalid

MICROSECOND = timedelta(microseconds=1)
TOLERANCE = timedelta(minutes=5)


class ModelTier(NamedTuple):
    """A tier: its monthly credits, and whether they expire when their month ends."""

    credits: int
    expires: bool


TIERS = {"model-lasting": ModelTier(7, expires=False), "model-brief": ModelTier(11, expires=True)}


def add_months(anchor: datetime, months: int) -> datetime:
    """Return the same day and time ``months`` later, or the last day of a month that is too short."""
    year, month = anchor.year + (anchor.month - 1 + months) // 12, (anchor.month - 1 + months) % 12 + 1
    last = calendar.monthrange(year, month)[1]
    return datetime(year, month, min(anchor.day, last), tzinfo=UTC) + (
        anchor - datetime(anchor.year, anchor.month, anchor.day, tzinfo=UTC)
    )


@dataclass(frozen=True)
class Term:
    """One subscription. ``last`` is its last period once an end is scheduled or has come, at ``ends_at``."""

    tier: str
    anchor: datetime
    first: int
    initial: int
    overlap: int
    pauses: tuple[tuple[datetime, datetime | None], ...] = ()
    last: int | None = None
    ends_at: datetime | None = None

    def begin(self, period: int) -> datetime:
        return add_months(self.anchor, period - self.first)

    def period_at(self, at: datetime) -> int:
        period = self.first
        while self.begin(period + 1) <= at:
            period += 1
        return period

    def begun(self, at: datetime) -> Iterator[int]:
        """Yield the periods after the first one that began by ``at``."""
        period = self.first + 1
        while self.begin(period) <= at and (self.last is None or period <= self.last):
            yield period
            period += 1

    def has_ended(self, at: datetime) -> bool:
        return self.ends_at is not None and self.ends_at <= at

    def is_paused_at(self, at: datetime) -> bool:
        return any(since <= at and (until is None or at < until) for since, until in self.pauses)

    @property
    def paused_at(self) -> datetime | None:
        return self.pauses[-1][0] if self.pauses and self.pauses[-1][1] is None else None

    def credits(self, period: int) -> int:
        promised = TIERS[self.tier].credits
        return max(promised - self.initial - self.overlap, 0) if period == self.first else promised

    def expiry(self, period: int) -> datetime | None:
        return self.begin(period + 1) if TIERS[self.tier].expires else None


class Given(NamedTuple):
    """What a period gave, and the transaction; or why it was skipped."""

    credits: int
    skipped: str
    transaction: int | None


class SubscribedBalance(Balance):
    """The model of a balance with a subscription."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.terms: list[Term] = []
        self.given: dict[int, Given] = {}
        # The periods up to this one have been processed in order.
        self.processed = 0

    # Reads

    def facts(self, at: datetime) -> tuple[Any, ...]:
        """Return the tier, what is scheduled, the next allocation and the pause, as a read at ``at`` shows them."""
        if not self.terms or self.terms[-1].has_ended(at):
            return (None, None, None, None)
        term = self.terms[-1]
        following: datetime | None = term.begin(self.processed + 1)
        if following and ((term.paused_at and following >= term.paused_at) or term.has_ended(following)):
            following = None
        pending = (None, term.ends_at) if term.ends_at else None
        return (term.tier, pending, following, term.paused_at)

    def next_period_at(self, now: datetime) -> list[datetime]:
        """Return the first instant of the next period, if there is one."""
        if not self.terms or self.terms[-1].has_ended(now):
            return []
        return [self.terms[-1].begin(self.terms[-1].period_at(now) + 1)]

    # Changes

    def current(self, at: datetime) -> Term:
        if not self.terms:
            raise RejectedError("no_subscription")
        if self.terms[-1].has_ended(at):
            raise RejectedError("subscription_ended", {"ended_at": self.terms[-1].ends_at})
        return self.terms[-1]

    def settle(self, at: datetime, instant: datetime) -> list[int]:
        """Give or skip every period that began by ``at``, at ``instant``, and return the periods."""
        term, request = self.terms[-1], self.request
        self.request = Request("", {})
        due = [period for period in term.begun(at) if period not in self.given]
        for period in due:
            expiry = term.expiry(period)
            skipped = "over" if expiry is not None and expiry <= instant else ""
            skipped = "paused" if term.is_paused_at(term.begin(period)) else skipped
            if skipped:
                self.given[period] = Given(0, skipped, None)
            else:
                self.give(term, period, instant)
            self.version += 1
        self.processed = max([self.processed, *term.begun(at)])
        self.request = request
        return due

    def give(self, term: Term, period: int, at: datetime) -> int:
        credits = term.credits(period)
        number = self.add_credits("allocation", credits, at, expires_at=term.expiry(period))
        self.given[period] = Given(credits, "", number)
        return number

    def overlapping(self, at: datetime) -> int:
        """Return what earlier subscriptions gave for periods that end after ``at``."""
        total = 0
        for term in self.terms:
            assert term.last is not None
            for period in range(term.first, term.last + 1):
                if term.begin(period + 1) > at:
                    total += self.given[period].credits if period in self.given else 0
                    total += term.initial if period == term.first else 0
        return total

    def run_allocation(self, at: datetime) -> tuple[int, int, int]:
        """Run the monthly allocation; return the periods given and skipped, and the credits."""
        state = self.copy()
        if not state.terms:
            return (0, 0, 0)
        instant = max(at, state.last_at)
        state.apply_due_events(instant)
        periods = state.settle(at, instant)
        if periods:
            vars(self).update(vars(state))
        else:
            self.processed = state.processed
        given = [state.given[period] for period in periods]
        skipped = sum(1 for each in given if each.skipped)
        return (len(given) - skipped, skipped, sum(each.credits for each in given))

    # Requests

    def subscribe(self, request: Request, at: datetime, *, tier: str, initial_balance: int | None) -> Result:
        def plan(state: "SubscribedBalance", at: datetime) -> Outcome:
            first, overlap = 0, 0
            if state.terms:
                if not state.terms[-1].has_ended(at):
                    raise RejectedError("balance_exists")
                state.settle(at, at)
                last = state.terms[-1].last
                assert last is not None
                first, overlap = last + 1, state.overlapping(at)
            remaining = max(TIERS[tier].credits - overlap, 0)
            initial = remaining if initial_balance is None else initial_balance
            term = Term(tier, at, first, initial, overlap)
            state.terms.append(term)
            state.processed = first
            state.record_change(at)
            if not initial:
                return Outcome()
            return Outcome(state.add_credits("allocation", initial, at, expires_at=term.expiry(first)))

        return self.execute(request, at, plan, opens=True)

    def allocate_month(self, request: Request, at: datetime) -> Result:
        def plan(state: "SubscribedBalance", at: datetime) -> Outcome:
            term = state.current(at)
            period = term.period_at(at)
            if period in state.given:
                return Outcome(state.given[period].transaction, changed=False)
            if not term.credits(period) or term.is_paused_at(term.begin(period)):
                return Outcome(changed=False)
            if state.processed == period - 1:
                state.processed = period
            return Outcome(state.give(term, period, at))

        return self.execute(request, at, plan)

    def end(self, request: Request, at: datetime, *, effective: str) -> Result:
        def plan(state: "SubscribedBalance", at: datetime) -> Outcome:
            term = state.current(at)
            last = term.period_at(at)
            if effective == "nextPeriod":
                if term.ends_at is not None:
                    raise RejectedError("subscription_ended", {"ended_at": term.ends_at})
                state.terms[-1] = replace(term, last=last, ends_at=term.begin(last + 1))
            else:
                state.settle(at, at)
                state.terms[-1] = replace(term, last=last, ends_at=at)
            state.record_change(at)
            return Outcome()

        return self.execute(request, at, self.not_in_the_past(at, plan))

    def cancel(self, request: Request, at: datetime) -> Result:
        def plan(state: "SubscribedBalance", at: datetime) -> Outcome:
            term = state.current(at)
            if term.ends_at is None:
                raise RejectedError("no_scheduled_change")
            state.terms[-1] = replace(term, last=None, ends_at=None)
            state.record_change(at)
            return Outcome()

        return self.execute(request, at, plan)

    def pause(self, request: Request, at: datetime) -> Result:
        def plan(state: "SubscribedBalance", at: datetime) -> Outcome:
            term = state.current(at)
            if term.paused_at is not None:
                raise RejectedError("already_paused", {"paused_at": term.paused_at})
            state.terms[-1] = replace(term, pauses=(*term.pauses, (at, None)))
            state.record_change(at)
            return Outcome()

        return self.execute(request, at, self.not_in_the_past(at, plan))

    def unpause(self, request: Request, at: datetime) -> Result:
        def plan(state: "SubscribedBalance", at: datetime) -> Outcome:
            term = state.current(at)
            if term.paused_at is None:
                raise RejectedError("not_paused")
            state.settle(at - MICROSECOND, at)
            state.terms[-1] = replace(term, pauses=(*term.pauses[:-1], (term.paused_at, at)))
            state.record_change(at)
            return Outcome()

        return self.execute(request, at, self.not_in_the_past(at, plan))

    @staticmethod
    def not_in_the_past(requested_at: datetime, plan: Any) -> Any:
        """Reject a request that would take effect more than five minutes after its own instant."""

        def checked(state: "SubscribedBalance", at: datetime) -> Outcome:
            if at - requested_at > TOLERANCE:
                raise invalid("at", "in_past")
            outcome: Outcome = plan(state, at)
            return outcome

        return checked
