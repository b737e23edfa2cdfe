"""A Hypothesis state machine that applies random operations to the ledger and to the model and compares them.

After every step, every stored row and every read must be equal to the model, and a rejected operation must have changed
nothing. ``tests/model/test_machine.py`` runs it.
"""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from credits import operations, queries
from credits.domain.records import BalanceSnapshot
from credits.engine.idempotency import build_request
from credits.engine.locked_balance import lock_balance
from credits.engine.plan_grants import plan_grant
from credits.engine.results import transaction_result
from credits.verification import verify_balance
from fluxori.core import clock
from fluxori.core.errors import DomainError, InvalidRequestError
from fluxori.db.transactions import transaction_with_retry
from fluxori.identity.models import User
from tests.model import balance as model
from tests.model import stored
from tests.model.subscription import TIERS, SubscribedBalance
from tests.support.factories.credits import make_balance, make_user
from tests.support.factories.identity import MembershipFactory, OrganizationFactory
from tests.support.times import DAY, HOUR, MINUTE, SECOND
from tiers import operations as tier_operations
from tiers import queries as tier_queries
from tiers.models import MonthlyAllocation, Tier

# Four hours before the end of a day, a month and a quarter.
START = datetime(2025, 3, 31, 20, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
END_OF_CALENDAR = datetime.max.replace(tzinfo=UTC)
UNKNOWN_ID = UUID(int=1)
STRANGER = 9
REPORT = "ai-generated-report"
DASHBOARD = "realtime-ai-dashboard"
PRICES = {
    REPORT: [(datetime(2020, 1, 1, tzinfo=UTC), 40)],
    DASHBOARD: [(datetime(2020, 1, 1, tzinfo=UTC), 3)],
}

amounts = st.integers(1, 25) | st.sampled_from(["half", "half", "most", "all", "one more than all"])
parts = st.none() | st.integers(1, 40)
which = st.integers(0, 30)
# Whole hours, so that many events have the same instant. Some are in the past.
ends = st.sampled_from([1, 2, 4, 6, 24, 28, 52, 24 * 9, 24 * 31, 0, -1, "the end of the calendar"])
seconds = st.sampled_from([60 * 60, 2 * 60 * 60, 4 * 60 * 60, 24 * 60 * 60] * 3 + [15 * 60, 1, 0, 24 * 60 * 60 + 1])
features = st.sampled_from([None] * 8 + [REPORT, DASHBOARD, DASHBOARD, "unknown-feature"])
members = st.sampled_from([None, 1, 2])
lags = st.sampled_from([timedelta(0)] * 10 + [HOUR, MICROSECOND, 2 * DAY])
# A negative lag is ahead of the clock.
request_lags = lags | st.just(-HOUR)
callers = st.sampled_from([None, None, 1])
# No key, a new key, or a key that was used before.
keys = st.sampled_from([None, None, None, "new", "new", "old"])

F = TypeVar("F", bound=Callable[..., None])
STEPS = {"run": 0}


ACTIONS: dict[str, tuple[int, Callable[["LedgerMachine"], Any], dict[str, st.SearchStrategy[Any]]]] = {}


def action(
    weight: int, when: Callable[["LedgerMachine"], Any] = lambda self: True, **options: st.SearchStrategy[Any]
) -> Callable[[F], F]:
    """Register a method as an action with its weight, its precondition and the strategies of its arguments.

    Actions are not rules of their own: Hypothesis leaves out half of the rules in a run, so that holds would rarely be
    captured.
    """

    def register(method: F) -> F:
        ACTIONS[method.__name__] = (weight, when, options)
        return method

    return register


def possible_actions(machine: "LedgerMachine") -> st.SearchStrategy[Any]:
    names = [name for name, (weight, when, _) in ACTIONS.items() if when(machine) for _ in range(weight)]
    return st.sampled_from(names).flatmap(
        lambda name: st.tuples(st.just(name), st.fixed_dictionaries(ACTIONS[name][2]))
    )


class LedgerMachine(RuleBasedStateMachine):
    """One balance. ``now`` never decreases; requests may have an earlier instant, as from a clock that is behind."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.sent: list[tuple[str, dict[str, Any], int | None, str | None]] = []
        self.reads: dict[datetime, model.Snapshot] = {}
        self.version, self.opened = 0, False
        self.passed = False
        self.fixed_clock = ExitStack()

    @initialize(pool=st.booleans(), bought=st.sampled_from([0, 40, 40]))
    def open(self, pool: bool, bought: int) -> None:
        self.people = {1: make_user(), 2: make_user(), STRANGER: make_user()}
        if pool:
            organization: Any = OrganizationFactory()
            for number in (1, 2):
                MembershipFactory(organization=organization, user=self.people[number])
            self.owner = operations.Owner.of(organization)
        else:
            self.owner = operations.Owner.of(self.people[1])
        self.giver, self.receiver = (
            make_balance(grants=[(amount, None)], at=START - 100 * DAY) for amount in (10**9, 1)
        )
        for code, tier in TIERS.items():
            terms = {"name": code, "monthly_credits": tier.credits, "price_min": 0, "price_max": 0}
            rollover = Tier.Rollover.NONE if tier.expires else Tier.Rollover.UNLIMITED
            Tier.objects.get_or_create(code=code, defaults={**terms, "rollover": rollover})
        self.model = SubscribedBalance(pool=pool, members=[1, 2], prices=PRICES)
        self.set_clock()
        self.stored = stored.Stored(stored.digest(self.owner.id))
        self.compare()
        if bought:
            self.send("add", type="purchase", amount=bought, expires_at=None, priority=50)

    @rule(action=st.runner().flatmap(possible_actions))
    def perform_action(self, action: tuple[str, dict[str, Any]]) -> None:
        name, arguments = action
        self.passed = False
        getattr(self, name)(**arguments)
        self.passed = True

    # Time

    @action(
        3,
        by=st.sampled_from(
            [MICROSECOND, SECOND, 15 * MINUTE, 15 * MINUTE, HOUR, HOUR, 2 * HOUR, 4 * HOUR, DAY, 10 * DAY]
        ),
    )
    def advance(self, by: timedelta) -> None:
        self.go_to(self.now + by)

    @action(4, nth=st.integers(0, 2), offset=st.sampled_from([timedelta(0), timedelta(0), -MICROSECOND, MICROSECOND]))
    def advance_to_a_due_event(self, nth: int, offset: timedelta) -> None:
        due = [instant for instant in self.due() if instant + offset > self.now]
        if due:
            self.go_to(due[min(nth, len(due) - 1)] + offset)

    @action(1)
    def advance_to_the_next_day(self) -> None:
        self.go_to(model.Balance.window("day", self.now)[1])

    def due(self) -> list[datetime]:
        found = {hold.expires_at for hold in self.model.open_holds()}
        found |= {grant.expires_at for grant in self.model.grants if grant.expires_at is not None}
        found |= set(self.model.next_period_at(self.now))
        return sorted(instant for instant in found if self.now <= instant < END_OF_CALENDAR)

    def set_clock(self) -> None:
        self.fixed_clock.close()
        self.fixed_clock.enter_context(clock.fixed(self.now))
        self.model.clock = self.now

    def go_to(self, then: datetime) -> None:
        if self.model.opened:
            # Reads at, just before and between the due events are compared later with reads as of then.
            edges = [instant for instant in self.due() if instant <= then][:4]
            for instant in {*edges, *(edge - MICROSECOND for edge in edges), self.now + (then - self.now) / 2}:
                if self.now <= instant <= then:
                    self.reads[instant] = self.model.snapshot_at(instant)
        self.now = then
        self.set_clock()
        self.step()
        self.compare()

    @action(2, when=lambda self: self.reads, nth=which)
    def read_the_past(self, nth: int) -> None:
        self.step()
        self.check_read_at(sorted(self.reads)[nth % len(self.reads)])

    def check_read_at(self, instant: datetime) -> None:
        actual = queries.get_balance(owner=self.owner, at=instant)
        then = self.reads[instant]
        values = (actual.balance, actual.held, actual.available, actual.debt, actual.next_expiry, actual.sequence)
        assert values == (then.balance, then.held, then.available, then.debt, then.next_expiry, then.sequence), instant

    @action(1, when=lambda self: self.model.opened)
    def read_before_the_balance_existed(self) -> None:
        self.step()

        actual = queries.get_balance(owner=self.owner, at=START - 9 * DAY)

        assert (actual.balance, actual.held, actual.available, actual.debt, actual.next_expiry) == (0, 0, 0, 0, None)

    @action(2, when=lambda self: self.model.opened)
    def read_the_grants(self) -> None:
        self.step()
        settled = self.model.with_due_events(self.now)
        written = len(self.stored.ids["grant"])
        free, pinned = settled.free(), settled.pinned()
        rolled = dict.fromkeys(free, 0)
        for made in reversed(settled.grants[written:]):
            # Until it is stored, a rollover is shown on the grant that it comes from.
            assert made.parent is not None
            rolled[made.parent] += free[made.number] + rolled[made.number]
        numbers = {row: number for number, row in self.stored.ids["grant"].items()}

        shown: list[Any] = list(queries.get_grants(owner=self.owner, at=self.now))

        assert sum(row.free for row in shown) == settled.available(self.now)
        assert {numbers[row.pk]: (row.status, row.free, row.pinned) for row in shown} == {
            grant.number: (
                "active" if rolled[grant.number] else settled.grant_status(grant, self.now),
                free[grant.number] + rolled[grant.number],
                pinned[grant.number],
            )
            for grant in settled.grants[:written]
        }

    # Requests

    @action(
        5,
        type=st.sampled_from(["purchase", "purchase", "promotion"]),
        amount=st.integers(1, 40),
        end=st.none() | ends,
        priority=st.sampled_from([50, 50, 10, 90]),
        caller=callers,
        key=keys,
        lag=request_lags,
    )
    def add(self, type: str, amount: int, end: int | None, priority: int, **options: Any) -> None:  # noqa: A002
        self.send("add", type=type, amount=amount, expires_at=self.end(end), priority=priority, **options)

    @action(
        3,
        amount=st.integers(1, 60),
        end=ends,
        cap=st.integers(0, 20),
        lasting=st.none() | st.integers(1, 60),
        lag=request_lags,
    )
    def allocate(self, amount: int, end: int, cap: int, lasting: int | None, lag: timedelta) -> None:
        """An allocation with rollover, as ``tiers`` makes it."""
        expires_at = self.end(end)
        assert expires_at is not None
        until = expires_at + lasting * HOUR if lasting and expires_at < END_OF_CALENDAR else None
        self.send(
            "allocate", type="allocation", amount=amount, expires_at=expires_at, roll_cap=cap, roll_until=until, lag=lag
        )

    @action(
        2,
        when=lambda self: any(grant.roll_cap is not None for grant in self.model.grants),
        amount=st.integers(1, 60),
        cap=st.integers(0, 20),
    )
    def allocate_more_until_the_same_end(self, amount: int, cap: int) -> None:
        """Grants that roll over at the same instant share one cap."""
        last = [grant for grant in self.model.grants if grant.roll_cap is not None][-1]
        terms: dict[str, Any] = {"expires_at": last.expires_at, "roll_cap": cap, "roll_until": last.roll_until}
        self.send("allocate", type="allocation", amount=amount, **terms)

    @action(
        3,
        when=lambda self: any(transaction.type == "purchase" for transaction in self.model.transactions),
        nth=which,
        steps=st.permutations(["void", "reverse", "release"]),
    )
    def take_a_purchase_back_twice(self, nth: int, steps: list[str]) -> None:
        """Void the grant of a purchase, reverse the purchase, and end a hold, in any order."""
        purchase = self.nth_of("purchase", nth)
        for step in steps:
            if step == "void":
                self.send("void", grant=self.model.grant_of(purchase))
            elif step == "reverse":
                self.send("reverse", transaction=purchase, amount=None)
            elif self.model.open_holds():
                self.send("release", hold=self.model.open_holds()[-1].number)

    @action(2, amount=amounts, down=st.booleans(), caller=callers, key=keys, lag=request_lags)
    def adjust(self, amount: int | str, down: bool, **options: Any) -> None:
        self.send("adjust", amount=-self.amount(amount) if down else self.amount(amount), **options)

    @action(
        8,
        amount=amounts,
        feature=features,
        quantity=st.integers(1, 3),
        member=members,
        caller=callers,
        key=keys,
        lag=request_lags,
    )
    def deduct(self, amount: int | str, feature: str | None, quantity: int, member: int | None, **options: Any) -> None:
        self.send("deduct", **self.spending(amount, feature, quantity), member=member, **options)

    @action(
        2, when=lambda self: self.model.opened, each=st.lists(st.tuples(amounts, members, keys), min_size=2, max_size=4)
    )
    def deduct_many(self, each: list[tuple[int | str, int | None, str | None]]) -> None:
        arguments = [
            ({**self.spending(amount, None, 1), "member": member}, None, self.key(key)) for amount, member, key in each
        ]
        requests = [
            model.Request("deduct", request_arguments, caller, key) for request_arguments, caller, key in arguments
        ]

        expected = self.model.batch(requests, self.now)
        result = operations.deduct_many(
            owner=self.owner,
            deductions=[
                operations.Deduction(**self.deduction(request_arguments), idempotency_key=key)
                for request_arguments, _, key in arguments
            ],
            at=self.now,
        )

        for modelled, found in zip(expected, result, strict=True):
            assert_same_result(modelled, found)
        self.after(self.now)

    @action(
        10,
        amount=amounts,
        feature=features,
        quantity=st.integers(1, 3),
        seconds=seconds,
        member=members,
        caller=callers,
        key=keys,
        lag=request_lags,
    )
    def place(
        self, amount: int | str, feature: str | None, quantity: int, seconds: int, member: int | None, **options: Any
    ) -> None:
        self.send("place", **self.spending(amount, feature, quantity), seconds=seconds, member=member, **options)

    @action(
        12,
        when=lambda self: self.model.open_holds(),
        nth=which,
        less=st.sampled_from([None, None, 0, 1, 5, 9, 9, -1, -7, -1000]),
        allow_debt=st.sampled_from([False] * 3 + [True]),
        caller=callers,
        key=keys,
        lag=request_lags,
    )
    def capture(self, nth: int, less: int | None, **options: Any) -> None:
        """Capture all of a hold, nothing, less than it reserves, or more."""
        hold = self.nth_hold(nth)
        amount = {None: None, 0: 0}.get(less, max(self.model.holds[hold - 1].amount - (less or 0), 0))
        self.send("capture", hold=hold, amount=amount, **options)

    @action(3, when=lambda self: self.model.open_holds(), nth=which, caller=callers, key=keys, lag=request_lags)
    def release(self, nth: int, **options: Any) -> None:
        self.send("release", hold=self.nth_hold(nth), **options)

    @action(
        2, when=lambda self: self.model.holds, nth=which, seconds=seconds, caller=callers, key=keys, lag=request_lags
    )
    def extend_hold(self, nth: int, seconds: int, **options: Any) -> None:
        self.send("extend_hold", hold=self.nth_hold(nth), seconds=seconds, **options)

    @action(
        6,
        when=lambda self: any(transaction.type == "usage" for transaction in self.model.transactions),
        nth=which,
        amount=parts,
        end=st.none() | st.none() | ends,
        caller=callers,
        key=keys,
        lag=request_lags,
    )
    def refund(self, nth: int, amount: int | None, end: int | None, **options: Any) -> None:
        usage = self.nth_of("usage", nth)
        self.send("refund", transaction=usage, amount=amount, expires_at=self.end(end), **options)

    @action(
        4,
        when=lambda self: any(transaction.type == "purchase" for transaction in self.model.transactions),
        nth=which,
        amount=parts,
        caller=callers,
        key=keys,
        lag=request_lags,
    )
    def reverse(self, nth: int, amount: int | None, **options: Any) -> None:
        self.send("reverse", transaction=self.nth_of("purchase", nth), amount=amount, **options)

    @action(3, amount=amounts, caller=callers, key=keys, lag=request_lags)
    def transfer_out(self, amount: int | str, **options: Any) -> None:
        self.send("transfer_out", amount=self.amount(amount), **options)

    @action(2, amount=st.integers(1, 40), caller=callers, lag=request_lags)
    def transfer_in(self, amount: int, **options: Any) -> None:
        """The key of a transfer belongs to the other balance, so there is none here."""
        self.send("transfer_in", amount=amount, **options)

    @action(
        1, when=lambda self: self.model.transactions, nth=which, verb=st.sampled_from(["refund", "reverse"]), key=keys
    )
    def correct_any_transaction(self, nth: int, verb: str, key: str | None) -> None:
        arguments: dict[str, Any] = {"expires_at": None} if verb == "refund" else {}
        self.send(verb, transaction=self.nth(self.model.transactions, nth), amount=None, key=key, **arguments)

    @action(2, when=lambda self: self.model.grants, nth=which, caller=callers, key=keys, lag=request_lags)
    def void(self, nth: int, **options: Any) -> None:
        self.send("void", grant=self.nth(self.model.grants, nth), **options)

    @action(2, when=lambda self: self.model.grants, nth=which, end=ends, caller=callers, key=keys, lag=request_lags)
    def extend(self, nth: int, end: int, **options: Any) -> None:
        self.send("extend", grant=self.nth(self.model.grants, nth), expires_at=self.end(end), **options)

    @action(
        3,
        when=lambda self: self.model.open_holds(),
        nth=which,
        end=ends,
        then=st.sampled_from(["release", "lapse", "capture", "extend"]),
    )
    def extend_a_pinned_grant(self, nth: int, end: int, then: str) -> None:
        """Extend the grant that a hold pins; what comes back from the hold follows the extension."""
        hold = self.model.holds[self.nth_hold(nth) - 1]
        self.send("extend", grant=hold.pins[-1], expires_at=self.end(end))
        if then == "extend":
            self.send("extend", grant=len(self.model.grants), expires_at=self.end(end))
        elif then == "lapse" and hold.expires_at > self.now:
            self.go_to(hold.expires_at)
        elif then == "capture":
            self.send("capture", hold=hold.number, amount=hold.amount // 2)
        else:
            self.send("release", hold=hold.number)

    @action(1, verb=st.sampled_from(["suspend", "resume", "resume"]), caller=callers, key=keys, lag=request_lags)
    def suspend_or_resume(self, verb: str, **options: Any) -> None:
        self.send(verb, **options)

    @action(
        2,
        amount=st.integers(0, 150),
        period=st.sampled_from(["day", "month"]),
        member=st.sampled_from([None, 1, 2, STRANGER]),
        caller=callers,
        key=keys,
        lag=request_lags,
    )
    def set_limit(self, amount: int, period: str, member: int | None, **options: Any) -> None:
        self.send("set_limit", amount=amount, period=period, member=member, **options)

    @action(1, when=lambda self: self.model.limits, nth=which, caller=callers, key=keys, lag=request_lags)
    def remove_limit(self, nth: int, **options: Any) -> None:
        self.send("remove_limit", limit=self.nth(self.model.limits, nth), **options)

    @action(
        1,
        arguments=st.sampled_from(
            [
                ("capture", {"hold": 0, "amount": None}),
                ("release", {"hold": 0}),
                ("refund", {"transaction": 0, "amount": None, "expires_at": None}),
                ("reverse", {"transaction": 0, "amount": 1}),
                ("void", {"grant": 0}),
                ("extend", {"grant": 0, "expires_at": START + DAY}),
                ("remove_limit", {"limit": 0}),
            ]
        ),
        key=keys,
    )
    def use_an_unknown_id(self, arguments: tuple[str, dict[str, Any]], key: str | None) -> None:
        verb, of = arguments
        self.send(verb, key=key, **of)

    # The subscription

    @action(
        4,
        when=lambda self: self.model.facts(self.now)[0] is None,
        tier=st.sampled_from(sorted(TIERS)),
        initial_balance=st.sampled_from([None, None, 0, 3]),
        caller=callers,
        key=keys,
        lag=request_lags,
    )
    def subscribe(self, tier: str, initial_balance: int | None, **options: Any) -> None:
        self.send("subscribe", tier=tier, initial_balance=initial_balance, **options)

    @action(
        8,
        when=lambda self: self.model.terms,
        verb=st.sampled_from(["allocate_month", "allocate_month", "pause", "unpause", "unpause", "cancel"]),
        caller=callers,
        key=keys,
        lag=request_lags,
    )
    def change_the_subscription(self, verb: str, **options: Any) -> None:
        self.send(verb, **options)

    @action(
        3,
        when=lambda self: self.model.opened,
        effective=st.sampled_from(["now", "nextPeriod"]),
        caller=callers,
        key=keys,
        lag=request_lags,
    )
    def end_the_subscription(self, effective: str, **options: Any) -> None:
        self.send("end", effective=effective, **options)

    @action(3, when=lambda self: self.model.terms, offset=st.sampled_from([timedelta(0), -MICROSECOND, DAY, 31 * DAY]))
    def advance_to_the_next_period(self, offset: timedelta) -> None:
        for starts_at in self.model.next_period_at(self.now):
            self.go_to(max(starts_at + offset, self.now))

    @action(4, when=lambda self: self.model.terms, lag=lags)
    def run_monthly_allocation(self, lag: timedelta) -> None:
        at = self.now - lag
        expected = self.model.run_allocation(at)

        totals = tier_operations.allocate_due(balance_ids=[self.owner.id], at=at)

        assert (totals.allocated.total(), totals.skipped.total(), totals.credits.total()) == expected
        self.after(at)

    def compare_subscription(self) -> None:
        facts = tier_queries.tier_facts(owner=self.owner, at=self.now)
        pending = facts.pending_tier and (facts.pending_tier.tier, facts.pending_tier.at)
        assert (facts.tier, pending, facts.next_allocation_at, facts.paused_at) == self.model.facts(self.now)
        rows = MonthlyAllocation.objects.filter(balance=self.owner.id).order_by("period")
        assert list(rows.values_list("period", "credits", "skipped", "transaction__sequence")) == [
            (period, *given) for period, given in sorted(self.model.given.items())
        ]

    @action(3, when=lambda self: self.sent, nth=which, lag=request_lags)
    def repeat_a_request(self, nth: int, lag: timedelta) -> None:
        verb, arguments, caller, key = self.sent[-1 - nth % len(self.sent)]
        self.perform(verb, arguments, caller, key, self.now - lag)

    @action(2, lag=lags, dry_run=st.booleans())
    def run_expiry_job(self, lag: timedelta, dry_run: bool) -> None:
        at = self.now - lag
        expected = (self.model.copy() if dry_run else self.model).run_expiry_job(at)

        result = operations.expire_credits(balance_ids=[self.owner.id], at=at, dry_run=dry_run)

        assert result == expected
        self.after(at)

    @action(2, amount=amounts, member=members)
    def check_spending(self, amount: int | str, member: int | None) -> None:
        wanted = self.amount(amount)
        reason = None
        try:
            request = model.Request("deduct", {})
            self.model.copy().deduct(request, self.now, amount=wanted, feature=None, quantity=1, member=member)
        except model.RejectedError as rejection:
            reason = rejection.code
        member_id = self.people[member].pk if member else None
        self.step()

        check = queries.check_spending(owner=self.owner, amount=wanted, member=member_id, at=self.now)

        assert (check.allowed, check.reason) == (reason is None, reason)
        assert check.available == (self.model.snapshot_at(self.now).available if self.model.opened else 0)

    # Arguments

    def amount(self, wanted: int | str) -> int:
        if isinstance(wanted, int):
            return wanted
        available = self.model.snapshot_at(self.now).available if self.model.opened else 0
        shares = {"half": available // 2, "most": available - 3, "all": available, "one more than all": available + 1}
        return max(shares[wanted], 1)

    def end(self, hours: int | str | None) -> datetime | None:
        if hours is None:
            return None
        if isinstance(hours, str):
            return END_OF_CALENDAR
        return START + ((self.now - START) // HOUR + hours) * HOUR

    def spending(self, amount: int | str, feature: str | None, quantity: int) -> dict[str, Any]:
        if feature is None:
            return {"amount": self.amount(amount), "feature": None, "quantity": 1}
        return {"amount": None, "feature": feature, "quantity": quantity}

    @staticmethod
    def nth(things: list[Any], nth: int) -> int:
        """Return the number of one of ``things``; 0 is the newest."""
        return len(things) - nth % len(things)

    def nth_hold(self, nth: int) -> int:
        """Return the number of a hold, usually an open one."""
        running = self.model.open_holds()
        if nth % 8 and running:
            return running[-1 - nth % len(running)].number
        return self.nth(self.model.holds, nth)

    def nth_of(self, kind: str, nth: int) -> int:
        found = [transaction.number for transaction in self.model.transactions if transaction.type == kind]
        return found[-1 - nth % len(found)]

    def key(self, wanted: str | None) -> str | None:
        used = [key for _, _, _, key in self.sent if key]
        if wanted == "old" and used:
            return used[-1]
        return f"key {len(self.sent)}" if wanted else None

    def send(
        self,
        verb: str,
        *,
        caller: int | None = None,
        key: str | None = None,
        lag: timedelta = timedelta(0),
        **arguments: Any,
    ) -> None:
        named = self.key(key)
        self.sent.append((verb, arguments, caller, named))
        self.perform(verb, arguments, caller, named, self.now - lag)

    def perform(self, verb: str, arguments: dict[str, Any], caller: int | None, key: str | None, at: datetime) -> None:
        request = model.Request(verb, arguments, caller, key)
        call_model: Callable[..., model.Result] = self.model.add if verb == "allocate" else getattr(self.model, verb)
        expected: model.Result | model.RejectedError
        try:
            expected = call_model(request, at, **arguments)
        except model.RejectedError as rejection:
            expected = rejection
        who = self.people[caller] if caller else None
        found: Any
        try:
            found = VERBS[verb](**self.real(verb, arguments), actor=who, idempotency_key=key, at=at)
        except DomainError as rejection:
            found = rejection
        note(f"{verb} {arguments} at {at:%d %H:%M:%S.%f}: {found if isinstance(found, DomainError) else 'done'}")
        assert_same_result(expected, found)
        self.after(at)

    def real(self, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Translate the arguments of the model to those of the operation."""
        translated = dict(arguments)
        for kind in ("hold", "transaction", "grant", "limit"):
            if kind in translated:
                translated[f"{kind}_id"] = self.stored.ids[kind].get(translated.pop(kind), UNKNOWN_ID)
        if "seconds" in translated:
            translated["expires_in_seconds"] = translated.pop("seconds")
        if translated.get("member"):
            translated["member"] = self.people[translated["member"]]
        if verb in {"adjust", "refund", "reverse", "void", "extend"}:
            translated["reason"] = "By the model"
        if verb in {"deduct", "place"}:
            translated["description"] = "By the model"
        if verb in OF_AN_OWNER:
            translated["owner"] = self.owner
        if verb == "transfer_out":
            translated.update(source=self.owner, target=self.receiver.owner, reason="By the model")
        if verb == "transfer_in":
            translated.update(source=self.giver.owner, target=self.owner, reason="By the model")
        return translated

    def deduction(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in self.real("deduct", arguments).items() if name != "owner"}

    # Comparison

    def after(self, at: datetime) -> None:
        """Discard recorded reads from ``at`` on, which a change at a past instant makes invalid, and compare."""
        self.step()
        if self.model.opened:
            self.reads = {then: read for then, read in self.reads.items() if then < max(at, self.model.last_at)}
        self.compare()

    def step(self) -> None:
        STEPS["run"] += 1

    def compare(self) -> None:
        """Compare every stored row and every current read."""
        before = self.stored
        if stored.digest(self.owner.id) != before.digest:
            self.stored = stored.read(self.owner.id, before, {number: who.pk for number, who in self.people.items()})
            assert stored.differences(self.owner.id) == []
        self.compare_rows(changed=self.stored is not before)
        if self.model.opened:
            self.compare_reads()
        if self.model.terms:
            self.compare_subscription()

    def compare_rows(self, *, changed: bool) -> None:
        expected, found = self.model, self.stored
        version = found.counts[4] if found.counts else 0
        assert (expected.version, expected.opened) == (version, bool(found.counts))
        # Unless the version changed, no column of any row has changed.
        assert changed == (expected.version != self.version or expected.opened != self.opened)
        self.version, self.opened = expected.version, expected.opened
        if not changed:
            return
        assert found.transactions == expected.transactions
        assert found.grants == expected.grants
        assert (found.free, found.pinned, found.voided) == (expected.free(), expected.pinned(), expected.voided)
        assert found.holds == expected.holds
        assert found.limits == expected.limits
        assert found.requests == set(expected.requests)
        balance, held, debt, sequence, _, last_at, suspended_at = found.counts
        assert (balance, held, debt) == (expected.balance(), sum(expected.pinned().values()), expected.debt())
        assert (sequence, last_at, suspended_at) == (
            len(expected.transactions),
            expected.last_at,
            expected.suspended_at,
        )

    def compare_reads(self) -> None:
        settled = self.model.with_due_events(self.now)
        reading = settled.snapshot(self.now)
        self.reads[self.now] = reading
        assert_same_snapshot(reading, queries.load_settled_balance(self.owner, at=self.now).snapshot())
        limits = list(queries.get_limits(owner=self.owner)) if settled.active_limits() else []
        assert [settled.limit_status(limit, self.now)[1:] for limit in settled.active_limits()[::-1]] == [
            (status.amount, status.used, status.resets_at) for status in queries.limit_statuses(limits, at=self.now)
        ]

    def teardown(self) -> None:
        with self.fixed_clock:
            if self.passed and self.model.opened:
                for instant in self.reads:
                    self.check_read_at(instant)
                assert verify_balance(self.owner.id).differences == ()
                for other, sign in ((self.giver, 1), (self.receiver, -1)):
                    assert verify_balance(other.pk).differences == ()
                    moved = [t.amount for t in self.model.transactions if t.type == "transfer" and t.amount * sign > 0]
                    amounts = other.transactions.filter(type="transfer").order_by("sequence")
                    assert [-amount for amount in moved] == list(amounts.values_list("amount", flat=True))


def assert_same_snapshot(expected: model.Snapshot, actual: BalanceSnapshot) -> None:
    assert expected == model.Snapshot(
        balance=actual.balance,
        held=actual.held,
        available=actual.available,
        debt=actual.debt,
        next_expiry=actual.next_expiry,
        sequence=actual.sequence,
        version=actual.version,
        last_updated=actual.last_updated,
        suspended_at=actual.suspended_at,
    )


def assert_same_result(expected: model.Result | model.RejectedError, found: Any) -> None:
    """Assert that both rejected with the same code and facts, or that both had the same result."""
    if isinstance(expected, model.RejectedError) or isinstance(found, DomainError):
        assert isinstance(expected, model.RejectedError), f"rejected: {found!r}"
        assert isinstance(found, DomainError), f"not rejected: {expected!r}"
        assert rejection_of(found) == (expected.code, expected.facts)
        return
    after, replayed = balance_after(found)
    assert_same_snapshot(expected.after, after)
    assert replayed in {None, expected.replayed}
    recorded = getattr(found, "transaction", None)
    assert expected.transaction == (recorded.sequence if recorded else None)
    hold = getattr(found, "hold", None)
    assert (expected.hold is None) == (hold is None)
    if expected.hold and hold:
        assert (
            expected.hold.status,
            expected.hold.captured,
            expected.hold.closed_at,
            expected.hold.expires_at,
            expected.hold.amount,
        ) == (
            hold.status,
            hold.captured,
            hold.closed_at,
            hold.expires_at,
            hold.amount,
        )
    if isinstance(found, operations.LimitResult):
        assert expected.limit
        assert expected.limit[1:] == (found.limit.amount, found.limit.used, found.limit.resets_at)


def balance_after(found: Any) -> tuple[BalanceSnapshot, bool | None]:
    """Return the balance after a request and whether it was a replay; None for a suspension."""
    match found:
        case BalanceSnapshot():
            return found, None
        case _:
            return found.balance, found.replayed


def rejection_of(found: DomainError) -> tuple[str, dict[str, Any]]:
    if isinstance(found, InvalidRequestError):
        return found.code, {"errors": {(error.field, error.code) for error in found.errors}}
    return found.code, {name: fact for name, fact in found.facts.items() if not name.endswith("_id")}


@transaction_with_retry
def allocate(
    *,
    owner: operations.Owner,
    type: str,  # noqa: A002
    amount: int,
    actor: User | None,
    idempotency_key: str | None,
    at: datetime,
    **terms: Any,
) -> operations.TransactionResult:
    """Add an allocation as ``tiers`` does, with expiry and rollover terms on the grant."""
    request = build_request("allocate", actor=actor, key=idempotency_key, amount=amount, **terms)
    with lock_balance(owner, at=at, requests=[request], create=True) as balance:
        result = balance.find_result(request)
        if result is None:
            given = plan_grant(balance, request, amount=amount, kind=type, terms=terms, details={})
            result = balance.record(request, transaction=given)
    return transaction_result(result)


VERBS: dict[str, Callable[..., Any]] = {
    "add": operations.add_credits,
    "allocate": allocate,
    "adjust": operations.adjust_credits,
    "deduct": operations.deduct_credits,
    "place": operations.place_hold,
    "capture": operations.capture_hold,
    "release": operations.release_hold,
    "extend_hold": operations.extend_hold,
    "refund": operations.refund_usage,
    "reverse": operations.reverse_purchase,
    "transfer_out": lambda **arguments: operations.transfer_credits(**arguments).source,
    "transfer_in": lambda **arguments: operations.transfer_credits(**arguments).target,
    "void": operations.void_grant,
    "extend": operations.extend_grant,
    "suspend": operations.suspend_spending,
    "resume": operations.resume_spending,
    "set_limit": operations.set_limit,
    "remove_limit": operations.remove_limit,
    "subscribe": tier_operations.initialize_balance,
    "allocate_month": tier_operations.add_monthly_allocation,
    "end": tier_operations.end_subscription,
    "cancel": tier_operations.cancel_scheduled_change,
    "pause": tier_operations.pause_subscription,
    "unpause": tier_operations.resume_subscription,
}
OF_A_SUBSCRIPTION = {"subscribe", "allocate_month", "end", "cancel", "pause", "unpause"}
OF_AN_OWNER = {"add", "allocate", "adjust", "deduct", "place", "suspend", "resume", "set_limit", *OF_A_SUBSCRIPTION}
