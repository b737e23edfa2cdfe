"""The operations on PostgreSQL and the model, side by side: every verb in any order, compared after every step."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from credits import operations, queries
from credits.domain.balance_state import BalanceSnapshot
from credits.models import CreditHold, CreditTransaction
from credits.verification import verify_balance
from fluxori.core.errors import DomainError, InvalidRequestError
from fluxori.identity.models import User
from tests.model import balance as model
from tests.model import stored
from tests.support.factories.credits import make_user
from tests.support.factories.identity import MembershipFactory, OrganizationFactory
from tests.support.times import DAY, HOUR, MINUTE, SECOND

# Four hours before a day, a month and a quarter end.
START = datetime(2025, 3, 31, 20, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NOBODYS = UUID(int=1)
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
# Instants on whole hours, so that many things fall on the same one; in the past at times.
ends = st.sampled_from([1, 2, 4, 6, 24, 28, 52, 24 * 9, 24 * 31, 0, -1])
seconds = st.sampled_from([60 * 60, 2 * 60 * 60, 4 * 60 * 60, 24 * 60 * 60] * 3 + [15 * 60, 1, 0, 24 * 60 * 60 + 1])
features = st.sampled_from([None] * 8 + [REPORT, DASHBOARD, DASHBOARD, "never-heard-of"])
members = st.sampled_from([None, 1, 2])
lags = st.sampled_from([timedelta(0)] * 10 + [HOUR, 2 * DAY])
callers = st.sampled_from([None, None, 1])
# Without a key, with a new one, or with one that was used before.
keys = st.sampled_from([None, None, None, "new", "new", "old"])

F = TypeVar("F", bound=Callable[..., None])
STEPS = {"run": 0}


ACTS: dict[str, tuple[int, Callable[["LedgerMachine"], Any], dict[str, st.SearchStrategy[Any]]]] = {}


def act(
    often: int, when: Callable[["LedgerMachine"], Any] = lambda self: True, **how: st.SearchStrategy[Any]
) -> Callable[[F], F]:
    """Let a method be one of the things that happen: how often, when it can, and with what arguments.

    Not a rule for each: Hypothesis leaves half of a machine's rules out of a run, and holds would seldom meet captures.
    """

    def known(method: F) -> F:
        ACTS[method.__name__] = (often, when, how)
        return method

    return known


def possible(machine: "LedgerMachine") -> st.SearchStrategy[Any]:
    names = [name for name, (often, when, _) in ACTS.items() if when(machine) for _ in range(often)]
    return st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), st.fixed_dictionaries(ACTS[name][2])))


class LedgerMachine(RuleBasedStateMachine):
    """One balance. ``now`` only moves forward; requests may come with an older instant, as from a clock that lags."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.sent: list[tuple[str, dict[str, Any], int | None, str | None]] = []
        self.readings: dict[datetime, model.Reading] = {}
        self.version, self.opened = 0, False
        self.sound = False

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
        self.told = model.Balance(pool=pool, members=[1, 2], prices=PRICES)
        self.stored = stored.Stored(stored.digest(self.owner.id))
        self.compare()
        if bought:
            self.send("add", type="purchase", amount=bought, expires_at=None, priority=50)

    @rule(act=st.runner().flatmap(possible))
    def happens(self, act: tuple[str, dict[str, Any]]) -> None:
        name, how = act
        self.sound = False
        getattr(self, name)(**how)
        self.sound = True

    # Time

    @act(
        3,
        by=st.sampled_from(
            [MICROSECOND, SECOND, 15 * MINUTE, 15 * MINUTE, HOUR, HOUR, 2 * HOUR, 4 * HOUR, DAY, 10 * DAY]
        ),
    )
    def time_passes(self, by: timedelta) -> None:
        self.go_to(self.now + by)

    @act(4, nth=st.integers(0, 2), beside=st.sampled_from([timedelta(0), timedelta(0), -MICROSECOND, MICROSECOND]))
    def time_comes_to_what_is_due(self, nth: int, beside: timedelta) -> None:
        due = [instant for instant in self.due() if instant + beside > self.now]
        if due:
            self.go_to(due[min(nth, len(due) - 1)] + beside)

    @act(1)
    def time_comes_to_a_new_day(self) -> None:
        self.go_to(model.Balance.window("day", self.now)[1])

    def due(self) -> list[datetime]:
        found = {hold.expires_at for hold in self.told.open_holds()}
        found |= {grant.expires_at for grant in self.told.grants if grant.expires_at is not None}
        return sorted(instant for instant in found if instant >= self.now)

    def go_to(self, then: datetime) -> None:
        if self.told.opened:
            # What a read would say on the way, at the edges of what falls due and between.
            edges = [instant for instant in self.due() if instant <= then][:4]
            for instant in {*edges, *(edge - MICROSECOND for edge in edges), self.now + (then - self.now) / 2}:
                if self.now <= instant <= then:
                    self.readings[instant] = self.told.at(instant)
        self.now = then
        self.step()
        self.compare()

    @act(2, when=lambda self: self.readings, nth=which)
    def somebody_looks_back(self, nth: int) -> None:
        self.step()
        self.look_back_to(sorted(self.readings)[nth % len(self.readings)])

    def look_back_to(self, instant: datetime) -> None:
        said = queries.get_balance(owner=self.owner, at=instant)
        then = self.readings[instant]
        told = (said.balance, said.held, said.available, said.debt, said.next_expiry, said.sequence)
        assert told == (then.balance, then.held, then.available, then.debt, then.next_expiry, then.sequence), instant

    @act(1, when=lambda self: self.told.opened)
    def somebody_looks_back_to_before_it_began(self) -> None:
        self.step()

        said = queries.get_balance(owner=self.owner, at=START - 9 * DAY)

        assert (said.balance, said.held, said.available, said.debt, said.next_expiry) == (0, 0, 0, 0, None)

    @act(2, when=lambda self: self.told.opened)
    def somebody_looks_at_the_grants(self) -> None:
        self.step()
        settled = self.told.settled(self.now)
        written = len(self.stored.ids["grant"])
        free, pinned = settled.free(), settled.pinned()
        rolled = dict.fromkeys(free, 0)
        for made in reversed(settled.grants[written:]):
            # What rolls over is shown where it comes from until it is written.
            assert made.parent is not None
            rolled[made.parent] += free[made.number] + rolled[made.number]
        numbers = {row: number for number, row in self.stored.ids["grant"].items()}

        shown: list[Any] = list(queries.get_grants(owner=self.owner, at=self.now))

        assert sum(row.free for row in shown) == settled.available(self.now)
        assert {numbers[row.pk]: (row.status, row.free, row.pinned) for row in shown} == {
            grant.number: (
                "active" if rolled[grant.number] else settled.standing(grant, self.now),
                free[grant.number] + rolled[grant.number],
                pinned[grant.number],
            )
            for grant in settled.grants[:written]
        }

    # Requests

    @act(
        5,
        type=st.sampled_from(["purchase", "purchase", "promotion"]),
        amount=st.integers(1, 40),
        end=st.none() | ends,
        priority=st.sampled_from([50, 50, 10, 90]),
        caller=callers,
        key=keys,
        lag=lags,
    )
    def add(self, type: str, amount: int, end: int | None, priority: int, **how: Any) -> None:  # noqa: A002
        self.send("add", type=type, amount=amount, expires_at=self.end(end), priority=priority, **how)

    @act(
        3, amount=st.integers(1, 60), end=ends, cap=st.integers(0, 20), lasting=st.none() | st.integers(1, 60), lag=lags
    )
    def allocate(self, amount: int, end: int, cap: int, lasting: int | None, lag: timedelta) -> None:
        """An allocation as the tiers give it, that rolls over when it ends."""
        expires_at = self.end(end)
        assert expires_at is not None
        until = expires_at + lasting * HOUR if lasting else None
        self.send(
            "allocate", type="allocation", amount=amount, expires_at=expires_at, roll_cap=cap, roll_until=until, lag=lag
        )

    @act(2, amount=amounts, down=st.booleans(), caller=callers, key=keys, lag=lags)
    def adjust(self, amount: int | str, down: bool, **how: Any) -> None:
        self.send("adjust", amount=-self.amount(amount) if down else self.amount(amount), **how)

    @act(
        8,
        amount=amounts,
        feature=features,
        quantity=st.integers(1, 3),
        member=members,
        caller=callers,
        key=keys,
        lag=lags,
    )
    def deduct(self, amount: int | str, feature: str | None, quantity: int, member: int | None, **how: Any) -> None:
        self.send("deduct", **self.spending(amount, feature, quantity), member=member, **how)

    @act(
        2, when=lambda self: self.told.opened, each=st.lists(st.tuples(amounts, members, keys), min_size=2, max_size=4)
    )
    def deduct_many(self, each: list[tuple[int | str, int | None, str | None]]) -> None:
        asked = [
            ({**self.spending(amount, None, 1), "member": member}, None, self.key(key)) for amount, member, key in each
        ]
        requests = [model.Request("deduct", said, caller, key) for said, caller, key in asked]

        told = self.told.batch(requests, self.now)
        done = operations.deduct_many(
            owner=self.owner,
            deductions=[operations.Deduction(**self.deduction(said), idempotency_key=key) for said, _, key in asked],
            at=self.now,
        )

        for expected, found in zip(told, done, strict=True):
            same_outcome(expected, found)
        self.after(self.now)

    @act(
        10,
        amount=amounts,
        feature=features,
        quantity=st.integers(1, 3),
        seconds=seconds,
        member=members,
        caller=callers,
        key=keys,
        lag=lags,
    )
    def place(
        self, amount: int | str, feature: str | None, quantity: int, seconds: int, member: int | None, **how: Any
    ) -> None:
        self.send("place", **self.spending(amount, feature, quantity), seconds=seconds, member=member, **how)

    @act(
        12,
        when=lambda self: self.told.open_holds(),
        nth=which,
        less=st.sampled_from([None, None, 0, 1, 5, 9, 9, -1, -7, -1000]),
        caller=callers,
        key=keys,
        lag=lags,
    )
    def capture(self, nth: int, less: int | None, **how: Any) -> None:
        """All of a hold, nothing of it, less than it has set aside, or more."""
        hold = self.nth_hold(nth)
        amount = {None: None, 0: 0}.get(less, max(self.told.holds[hold - 1].amount - (less or 0), 0))
        self.send("capture", hold=hold, amount=amount, **how)

    @act(3, when=lambda self: self.told.open_holds(), nth=which, caller=callers, key=keys, lag=lags)
    def release(self, nth: int, **how: Any) -> None:
        self.send("release", hold=self.nth_hold(nth), **how)

    @act(2, when=lambda self: self.told.holds, nth=which, seconds=seconds, caller=callers, key=keys, lag=lags)
    def extend_hold(self, nth: int, seconds: int, **how: Any) -> None:
        self.send("extend_hold", hold=self.nth_hold(nth), seconds=seconds, **how)

    @act(
        6,
        when=lambda self: any(said.type == "usage" for said in self.told.transactions),
        nth=which,
        amount=parts,
        end=st.none() | st.none() | ends,
        caller=callers,
        key=keys,
        lag=lags,
    )
    def refund(self, nth: int, amount: int | None, end: int | None, **how: Any) -> None:
        usage = self.nth_of("usage", nth)
        self.send("refund", transaction=usage, amount=amount, expires_at=self.end(end), **how)

    @act(
        4,
        when=lambda self: any(said.type == "purchase" for said in self.told.transactions),
        nth=which,
        amount=parts,
        caller=callers,
        key=keys,
        lag=lags,
    )
    def reverse(self, nth: int, amount: int | None, **how: Any) -> None:
        self.send("reverse", transaction=self.nth_of("purchase", nth), amount=amount, **how)

    @act(1, when=lambda self: self.told.transactions, nth=which, verb=st.sampled_from(["refund", "reverse"]), key=keys)
    def correct_what_may_be_of_another_kind(self, nth: int, verb: str, key: str | None) -> None:
        asked: dict[str, Any] = {"expires_at": None} if verb == "refund" else {}
        self.send(verb, transaction=self.nth(self.told.transactions, nth), amount=None, key=key, **asked)

    @act(2, when=lambda self: self.told.grants, nth=which, caller=callers, key=keys, lag=lags)
    def void(self, nth: int, **how: Any) -> None:
        self.send("void", grant=self.nth(self.told.grants, nth), **how)

    @act(2, when=lambda self: self.told.grants, nth=which, end=ends, caller=callers, key=keys, lag=lags)
    def extend(self, nth: int, end: int, **how: Any) -> None:
        self.send("extend", grant=self.nth(self.told.grants, nth), expires_at=self.end(end), **how)

    @act(1, verb=st.sampled_from(["suspend", "resume", "resume"]), caller=callers, key=keys, lag=lags)
    def suspend_or_resume(self, verb: str, **how: Any) -> None:
        self.send(verb, **how)

    @act(
        2,
        amount=st.integers(0, 150),
        period=st.sampled_from(["day", "month"]),
        member=st.sampled_from([None, 1, 2, STRANGER]),
        caller=callers,
        key=keys,
        lag=lags,
    )
    def set_limit(self, amount: int, period: str, member: int | None, **how: Any) -> None:
        self.send("set_limit", amount=amount, period=period, member=member, **how)

    @act(1, when=lambda self: self.told.limits, nth=which, caller=callers, key=keys, lag=lags)
    def remove_limit(self, nth: int, **how: Any) -> None:
        self.send("remove_limit", limit=self.nth(self.told.limits, nth), **how)

    @act(
        1,
        asked=st.sampled_from(
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
    def name_what_is_not_there(self, asked: tuple[str, dict[str, Any]], key: str | None) -> None:
        verb, of = asked
        self.send(verb, key=key, **of)

    @act(3, when=lambda self: self.sent, nth=which, lag=lags)
    def send_it_again(self, nth: int, lag: timedelta) -> None:
        verb, asked, caller, key = self.sent[-1 - nth % len(self.sent)]
        self.perform(verb, asked, caller, key, self.now - lag)

    @act(2, lag=lags, dry_run=st.booleans())
    def sweep(self, lag: timedelta, dry_run: bool) -> None:
        at = self.now - lag
        told = (self.told.copy() if dry_run else self.told).sweep(at)

        done = operations.expire_credits(balance_ids=[self.owner.id], at=at, dry_run=dry_run)

        assert done == told
        self.after(at)

    @act(2, amount=amounts, member=members)
    def ask_first(self, amount: int | str, member: int | None) -> None:
        wanted = self.amount(amount)
        reason = None
        try:
            request = model.Request("deduct", {})
            self.told.copy().deduct(request, self.now, amount=wanted, feature=None, quantity=1, member=member)
        except model.Refused as refusal:
            reason = refusal.code
        member_id = self.people[member].pk if member else None
        self.step()

        said = queries.check_spending(owner=self.owner, amount=wanted, member=member_id, at=self.now)

        assert (said.allowed, said.reason) == (reason is None, reason)
        assert said.available == (self.told.at(self.now).available if self.told.opened else 0)

    # How a request is made

    def amount(self, wanted: int | str) -> int:
        if isinstance(wanted, int):
            return wanted
        available = self.told.at(self.now).available if self.told.opened else 0
        shares = {"half": available // 2, "most": available - 3, "all": available, "one more than all": available + 1}
        return max(shares[wanted], 1)

    def end(self, hours: int | None) -> datetime | None:
        if hours is None:
            return None
        return START + ((self.now - START) // HOUR + hours) * HOUR

    def spending(self, amount: int | str, feature: str | None, quantity: int) -> dict[str, Any]:
        if feature is None:
            return {"amount": self.amount(amount), "feature": None, "quantity": 1}
        return {"amount": None, "feature": feature, "quantity": quantity}

    @staticmethod
    def nth(things: list[Any], nth: int) -> int:
        """The number of one of these, the newest for 0."""
        return len(things) - nth % len(things)

    def nth_hold(self, nth: int) -> int:
        """The number of a hold, most often an open one."""
        running = self.told.open_holds()
        if nth % 8 and running:
            return running[-1 - nth % len(running)].number
        return self.nth(self.told.holds, nth)

    def nth_of(self, kind: str, nth: int) -> int:
        found = [said.number for said in self.told.transactions if said.type == kind]
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
        **asked: Any,
    ) -> None:
        named = self.key(key)
        self.sent.append((verb, asked, caller, named))
        self.perform(verb, asked, caller, named, self.now - lag)

    def perform(self, verb: str, asked: dict[str, Any], caller: int | None, key: str | None, at: datetime) -> None:
        request = model.Request(verb, asked, caller, key)
        act: Callable[..., model.Answer] = self.told.add if verb == "allocate" else getattr(self.told, verb)
        expected: model.Answer | model.Refused
        try:
            expected = act(request, at, **asked)
        except model.Refused as refusal:
            expected = refusal
        who = self.people[caller] if caller else None
        found: Any
        try:
            found = VERBS[verb](**self.real(verb, asked), actor=who, idempotency_key=key, at=at)
        except DomainError as refusal:
            found = refusal
        note(f"{verb} {asked} at {at:%d %H:%M:%S.%f}: {found if isinstance(found, DomainError) else 'done'}")
        same_outcome(expected, found)
        self.after(at)

    def real(self, verb: str, asked: dict[str, Any]) -> dict[str, Any]:
        """The model's words for the arguments, in the operation's."""
        said = dict(asked)
        for thing in ("hold", "transaction", "grant", "limit"):
            if thing in said:
                said[f"{thing}_id"] = self.stored.ids[thing].get(said.pop(thing), NOBODYS)
        if "seconds" in said:
            said["expires_in_seconds"] = said.pop("seconds")
        if said.get("member"):
            said["member"] = self.people[said["member"]]
        if verb in {"adjust", "refund", "reverse", "void", "extend"}:
            said["reason"] = "Told by the model"
        if verb in {"deduct", "place"}:
            said["description"] = "Told by the model"
        if verb in OF_AN_OWNER:
            said["owner"] = self.owner
        return said

    def deduction(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in self.real("deduct", asked).items() if name != "owner"}

    # What is compared

    def after(self, at: datetime) -> None:
        """A change at an instant that has passed makes all that was read since then untrue."""
        self.step()
        if self.told.opened:
            self.readings = {then: said for then, said in self.readings.items() if then < max(at, self.told.last_at)}
        self.compare()

    def step(self) -> None:
        STEPS["run"] += 1

    def compare(self) -> None:
        """Everything stored, and everything a read says now."""
        before = self.stored
        if stored.digest(self.owner.id) != before.digest:
            self.stored = stored.read(self.owner.id, before, {number: who.pk for number, who in self.people.items()})
            assert stored.differences(self.owner.id) == []
        self.compare_rows(changed=self.stored is not before)
        if self.told.opened:
            self.compare_reads()

    def compare_rows(self, *, changed: bool) -> None:
        told, found = self.told, self.stored
        version = found.counts[4] if found.counts else 0
        assert (told.version, told.opened) == (version, bool(found.counts))
        # What is not said to have changed has not, in any column of any row.
        assert changed == (told.version != self.version or told.opened != self.opened)
        self.version, self.opened = told.version, told.opened
        if not changed:
            return
        assert found.transactions == told.transactions
        assert found.grants == told.grants
        assert (found.free, found.pinned, found.voided) == (told.free(), told.pinned(), told.voided)
        assert found.holds == told.holds
        assert found.limits == told.limits
        assert found.requests == set(told.requests)
        balance, held, debt, sequence, _, last_at, suspended_at = found.counts
        assert (balance, held, debt) == (told.balance(), sum(told.pinned().values()), told.debt())
        assert (sequence, last_at, suspended_at) == (len(told.transactions), told.last_at, told.suspended_at)

    def compare_reads(self) -> None:
        settled = self.told.settled(self.now)
        reading = settled.reading(self.now)
        self.readings[self.now] = reading
        same_reading(reading, queries.settled(self.owner, at=self.now).snapshot())
        limits = list(queries.get_limits(owner=self.owner)) if settled.in_force() else []
        assert [settled.limit_at(limit, self.now)[1:] for limit in settled.in_force()[::-1]] == [
            (standing.amount, standing.used, standing.resets_at)
            for standing in queries.limit_statuses(limits, at=self.now)
        ]

    def teardown(self) -> None:
        if self.sound and self.told.opened:
            for instant in self.readings:
                self.look_back_to(instant)
            assert verify_balance(self.owner.id).differences == ()


def same_reading(told: model.Reading, said: BalanceSnapshot) -> None:
    assert told == model.Reading(
        balance=said.balance,
        held=said.held,
        available=said.available,
        debt=said.debt,
        next_expiry=said.next_expiry,
        sequence=said.sequence,
        version=said.version,
        last_updated=said.last_updated,
        suspended_at=said.suspended_at,
    )


def same_outcome(told: model.Answer | model.Refused, found: Any) -> None:
    """Both refused, with the same code and facts; or both did the same."""
    if isinstance(told, model.Refused) or isinstance(found, DomainError):
        assert isinstance(told, model.Refused), f"refused: {found!r}"
        assert isinstance(found, DomainError), f"not refused: {told!r}"
        assert refusal_of(found) == (told.code, told.facts)
        return
    after, replayed = said_after(found)
    same_reading(told.after, after)
    assert replayed in {None, told.replayed}
    recorded = found if isinstance(found, CreditTransaction) else getattr(found, "transaction", None)
    assert told.transaction == (recorded.sequence if recorded else None)
    hold = found if isinstance(found, CreditHold) else getattr(found, "hold", None)
    assert (told.hold is None) == (hold is None)
    if told.hold and hold:
        assert (told.hold.status, told.hold.captured, told.hold.closed_at, told.hold.expires_at, told.hold.amount) == (
            hold.status,
            hold.captured,
            hold.closed_at,
            hold.expires_at,
            hold.amount,
        )
    if isinstance(found, operations.LimitResult):
        assert told.limit
        assert told.limit[1:] == (found.limit.amount, found.limit.used, found.limit.resets_at)


def said_after(found: Any) -> tuple[BalanceSnapshot, bool | None]:
    """The balance right after a request, and whether that was remembered; a suspension does not say."""
    match found:
        case BalanceSnapshot():
            return found, None
        case operations.VoidResult():
            return found.answer.after, found.answer.replayed
        case operations.CaptureResult():
            return found.hold.after, found.hold.replayed
        case _:
            return found.after, found.replayed


def refusal_of(found: DomainError) -> tuple[str, dict[str, Any]]:
    if isinstance(found, InvalidRequestError):
        return found.code, {"errors": {(error.field, error.code) for error in found.errors}}
    return found.code, {name: fact for name, fact in found.facts.items() if not name.endswith("_id")}


@operations.whole
def allocate(
    *,
    owner: operations.Owner,
    type: str,  # noqa: A002
    amount: int,
    actor: User | None,
    idempotency_key: str | None,
    at: datetime,
    **terms: Any,
) -> CreditTransaction:
    """Give credits as the tiers give them: the terms of their end are written onto the grant."""
    request = operations.ask("allocate", actor=actor, key=idempotency_key, amount=amount, **terms)
    with operations.opened(owner, at=at, requests=[request], create=True) as page:
        answer = page.replay(request)
        if answer is None:
            given = operations.plan_grant(page, request, amount=amount, kind=type, terms=terms, facts={})
            answer = page.record(request, transaction=given)
    return operations.transaction_of(answer)


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
    "void": operations.void_grant,
    "extend": operations.extend_grant,
    "suspend": operations.suspend_spending,
    "resume": operations.resume_spending,
    "set_limit": operations.set_limit,
    "remove_limit": operations.remove_limit,
}
OF_AN_OWNER = {"add", "allocate", "adjust", "deduct", "place", "suspend", "resume", "set_limit"}
