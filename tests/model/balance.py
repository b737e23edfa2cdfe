"""One balance in plain Python: the rules of the ledger told a second time, slowly, and with nothing of the first.

It keeps what happened (grants, holds, transactions with their shares) and no counts: whatever there is of something is
added up anew each time it is asked for. Whatever pays or comes back does so credit by credit. Things are called by
their number, from 1. Credits are whole; instants are aware; what lasts until an instant is gone at it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

BEYOND = datetime.max.replace(tzinfo=UTC)
LONGEST_HOLD = 24 * 60 * 60

Facts = dict[str, Any]


class Refused(Exception):
    """A no: its code, and the facts that come with it."""

    def __init__(self, code: str, facts: Facts | None = None) -> None:
        super().__init__(code, facts)
        self.code = code
        self.facts = facts or {}


def wrong(field: str, code: str) -> Refused:
    return Refused("invalid", {"errors": {(field, code)}})


@dataclass(frozen=True)
class Grant:
    number: int
    source: str
    amount: int
    priority: int
    effective_at: datetime
    expires_at: datetime | None
    roll_cap: int | None = None
    roll_until: datetime | None = None
    parent: int | None = None

    def over(self, at: datetime) -> bool:
        return self.expires_at is not None and at >= self.expires_at

    def turn(self) -> tuple[Any, ...]:
        bought_last = 1 if self.source == "purchase" else 0
        return (self.priority, self.expires_at or BEYOND, bought_last, self.effective_at, self.number)


@dataclass(frozen=True)
class Hold:
    """``pins`` are the grants it was placed on, one for each credit: pinned while it is open."""

    number: int
    pins: tuple[int, ...]
    created_at: datetime
    expires_at: datetime
    member: int | None
    priced: tuple[str, int] | None
    status: str = "open"
    captured: int = 0
    closed_at: datetime | None = None

    @property
    def amount(self) -> int:
        return len(self.pins)


@dataclass(frozen=True)
class Share:
    grant: int | None
    amount: int
    remaining_after: int | None


@dataclass(frozen=True)
class Transaction:
    number: int
    type: str
    amount: int
    balance_after: int
    at: datetime
    shares: tuple[Share, ...]
    hold: int | None = None
    reverses: int | None = None
    member: int | None = None
    priced: tuple[str, int] | None = None
    caller: int | None = None
    key: str | None = None


@dataclass(frozen=True)
class Limit:
    number: int
    member: int | None
    period: str
    amount: int
    removed_at: datetime | None = None


@dataclass(frozen=True)
class Reading:
    """What a read of the balance says."""

    balance: int
    held: int
    available: int
    debt: int
    next_expiry: tuple[int, datetime] | None
    sequence: int
    version: int
    last_updated: datetime
    suspended_at: datetime | None


@dataclass(frozen=True)
class Answer:
    """What a request was answered: the balance right after it, and what it was about, as that stood then."""

    after: Reading
    transaction: int | None = None
    hold: Hold | None = None
    limit: tuple[int, int, int, datetime] | None = None
    replayed: bool = False


@dataclass(frozen=True)
class Done:
    """What a verb did; ``changed`` is False where all was so already."""

    transaction: int | None = None
    hold: int | None = None
    limit: int | None = None
    changed: bool = True


@dataclass(frozen=True)
class Request:
    verb: str
    asked: Facts
    caller: int | None = None
    key: str | None = None


NOBODY = Request("", {})
Plan = Callable[["Balance", datetime], Done]


class Balance:
    """The model. Its verbs are called like the operations; each either happens whole or raises :class:`Refused`."""

    def __init__(self, *, pool: bool, members: Iterable[int], prices: dict[str, list[tuple[datetime, int]]]) -> None:
        self.pool = pool
        self.members = frozenset(members)
        self.prices = prices
        self.opened = False
        self.grants: list[Grant] = []
        self.voided: dict[int, datetime] = {}
        self.holds: list[Hold] = []
        self.transactions: list[Transaction] = []
        self.limits: list[Limit] = []
        self.suspended_at: datetime | None = None
        self.requests: dict[tuple[int | None, str], tuple[Request, Answer]] = {}
        self.version = 0
        self.last_at = datetime.min.replace(tzinfo=UTC)
        self.asked = NOBODY

    # What there is

    def balance(self) -> int:
        return sum(said.amount for said in self.transactions)

    def debt(self) -> int:
        return -sum(share.amount for said in self.transactions for share in said.shares if share.grant is None)

    def pinned(self) -> dict[int, int]:
        """How many credits of each grant are pinned."""
        found = {grant.number: 0 for grant in self.grants}
        for hold in self.open_holds():
            for grant in hold.pins:
                found[grant] += 1
        return found

    def free(self) -> dict[int, int]:
        """How many credits of each grant remain: what its shares add up to, less its pins."""
        found = {grant: -pins for grant, pins in self.pinned().items()}
        for said in self.transactions:
            for share in said.shares:
                if share.grant is not None:
                    found[share.grant] += share.amount
        assert all(remaining >= 0 for remaining in found.values())
        return found

    def open_holds(self) -> list[Hold]:
        return [hold for hold in self.holds if hold.status == "open"]

    def spendable(self, grant: Grant, at: datetime) -> bool:
        return not grant.over(at) and grant.number not in self.voided

    def available(self, at: datetime) -> int:
        free = self.free()
        return sum(free[grant.number] for grant in self.grants if self.spendable(grant, at))

    def paying(self, amount: int, first: Iterable[int] = ()) -> list[int]:
        """The grants that pay ``amount``, one for each credit, in burn order; those named ``first`` before the others.

        Fewer where there is less.
        """
        free, early = self.free(), set(first)
        turns = sorted(self.grants, key=lambda grant: (grant.number not in early, grant.turn()))
        return [grant.number for grant in turns for _ in range(free[grant.number])][:amount]

    def reading(self, at: datetime) -> Reading:
        """What a read at ``at`` says; what has fallen due must have been settled."""
        lost: dict[datetime, int] = {}
        free = self.free()
        for grant in self.grants:
            going = max(free[grant.number] - (grant.roll_cap or 0), 0)
            if grant.expires_at is not None and going:
                lost[grant.expires_at] = lost.get(grant.expires_at, 0) + going
        return Reading(
            balance=self.balance(),
            held=sum(self.pinned().values()),
            available=self.available(at),
            debt=self.debt(),
            next_expiry=(lost[min(lost)], min(lost)) if lost else None,
            sequence=len(self.transactions),
            version=self.version,
            last_updated=self.last_at,
            suspended_at=self.suspended_at,
        )

    def at(self, at: datetime) -> Reading:
        """What a read at ``at`` says; nothing is written."""
        settled = self.settled(at)
        return settled.reading(max(at, self.last_at))

    def standing(self, grant: Grant, at: datetime) -> str:
        if grant.number in self.voided:
            return "voided"
        if grant.over(at):
            return "expired"
        return "active" if self.free()[grant.number] + self.pinned()[grant.number] else "spent"

    # What happens

    def copy(self) -> "Balance":
        made = object.__new__(Balance)
        for name, value in vars(self).items():
            setattr(made, name, value.copy() if isinstance(value, list | dict) else value)
        return made

    def settled(self, at: datetime) -> "Balance":
        """A copy in which all that has fallen due by ``at`` has happened, or by the last change if that is later."""
        made = self.copy()
        made.settle(max(at, made.last_at))
        return made

    def happens(self, at: datetime) -> None:
        self.last_at = max(self.last_at, at)

    def move(self, kind: str, at: datetime, parts: Iterable[tuple[int | None, int]], **facts: Any) -> int:
        """Write a transaction of these signed parts, and return its number."""
        shares = []
        free = self.free()
        for grant, amount in parts:
            if grant is not None:
                free[grant] += amount
            shares.append(Share(grant, amount, None if grant is None else free[grant]))
        amount = sum(share.amount for share in shares)
        self.transactions.append(
            Transaction(
                number=len(self.transactions) + 1,
                type=kind,
                amount=amount,
                balance_after=self.balance() + amount,
                at=at,
                shares=tuple(shares),
                caller=self.asked.caller,
                key=self.asked.key,
                **facts,
            )
        )
        self.happens(at)
        return len(self.transactions)

    def grant(self, source: str, amount: int, at: datetime, **terms: Any) -> Grant:
        terms = {"priority": 50, "expires_at": None, **terms}
        made = Grant(number=len(self.grants) + 1, source=source, amount=amount, effective_at=at, **terms)
        self.grants.append(made)
        return made

    def give(self, kind: str, amount: int, at: datetime, **terms: Any) -> int:
        """Give credits; debt has its part first."""
        if terms.get("expires_at") is not None and terms["expires_at"] <= at:
            raise wrong("expires_at", "in_past")
        owed = min(self.debt(), amount)
        made = self.grant(kind, amount, at, **terms)
        parts = [(made.number, amount - owed), (None, owed)]
        return self.move(kind, at, [part for part in parts if part[1]])

    def end(self, hold: Hold, status: str, at: datetime) -> None:
        self.holds[hold.number - 1] = replace(self.holds[hold.number - 1], status=status, closed_at=at)
        self.happens(at)

    def settle(self, at: datetime) -> None:
        """Let all happen that falls due by ``at``, in order of time; at one instant holds lapse first."""
        while True:
            free = self.free()
            due = [hold.expires_at for hold in self.open_holds()]
            due += [grant.expires_at for grant in self.grants if grant.expires_at is not None and free[grant.number]]
            due = [instant for instant in due if instant <= at]
            if not due:
                return
            instant = min(due)
            for hold in self.open_holds():
                if hold.expires_at == instant:
                    self.end(hold, "lapsed", instant)
            self.clear(instant)

    def clear(self, at: datetime) -> None:
        """Let go what may no longer be spent, and repay debt with what may; nobody has asked for it."""
        self.asked = NOBODY
        caps = [0]
        for grant in sorted(self.grants, key=Grant.turn):
            # A grant made on the way is not looked at: it has just begun.
            free = self.free()[grant.number]
            if free == 0 or self.spendable(grant, at):
                continue
            if grant.number in self.voided:
                self.move("void", at, [(grant.number, -free)])
            else:
                caps.append(self.expire(grant, free, at))
        # What rolls over at one instant shares the largest cap, once all that leaves has left.
        if max(caps):
            self.trim(max(caps), at)
        paid = self.paying(self.debt())
        if paid:
            self.move("reversal", at, [*self.taken(paid), (None, len(paid))])

    def expire(self, grant: Grant, free: int, at: datetime) -> int:
        """Let what is free expire or roll over, and return the cap under which it rolled, 0 if nothing did."""
        rolled = min(free, grant.roll_cap or 0) if grant.expires_at == at else 0
        if free > rolled:
            self.move("expiry", at, [(grant.number, rolled - free)])
        if rolled == 0:
            return 0
        made = self.grant("rollover", rolled, at, priority=40, expires_at=grant.roll_until, parent=grant.number)
        self.move("rollover", at, [(grant.number, -rolled), (made.number, rolled)])
        return grant.roll_cap or 0

    def trim(self, cap: int, at: datetime) -> None:
        """Let the oldest rolled-over credits go, one by one, until ``cap`` are left."""
        free = self.free()
        pool = [
            grant.number
            for grant in sorted(self.grants, key=lambda grant: (grant.effective_at, grant.number))
            if grant.source == "rollover" and self.spendable(grant, at)
            for _ in range(free[grant.number])
        ]
        gone = pool[: max(len(pool) - cap, 0)]
        for part in self.taken(gone):
            self.move("expiry", at, [part])

    @staticmethod
    def taken(credits: Iterable[int]) -> list[tuple[int | None, int]]:
        """Credits, each called by its grant, as the parts that take them: one for each grant, in the order met."""
        parts: dict[int | None, int] = {}
        for grant in credits:
            parts[grant] = parts.get(grant, 0) - 1
        return list(parts.items())

    # How a request is served

    def serve(self, request: Request, at: datetime, plan: Plan, *, opens: bool = False) -> Answer:
        """Refuse, or answer as before, or do what ``plan`` does, whole."""
        if not self.opened and not opens:
            raise Refused("balance_not_found")
        made = self.copy()
        if not made.opened:
            made.opened, made.last_at = True, at
        at = max(at, made.last_at)
        earlier = made.remembered(request)
        if earlier:
            return earlier
        made.settle(at)
        made.asked = request
        done = plan(made, at)
        made.asked = NOBODY
        if not done.changed and request.key is None:
            return made.answer(done, at)
        made.version += 1
        answer = made.answer(done, at)
        made.remember(request, answer)
        vars(self).update(vars(made))
        return answer

    def remembered(self, request: Request) -> Answer | None:
        if request.key is None or (request.caller, request.key) not in self.requests:
            return None
        first, answer = self.requests[request.caller, request.key]
        if (first.verb, first.asked) != (request.verb, request.asked):
            raise Refused("idempotency_key_reused")
        return replace(answer, replayed=True)

    def remember(self, request: Request, answer: Answer) -> None:
        if request.key is not None:
            self.requests[request.caller, request.key] = (request, answer)

    def answer(self, done: Done, at: datetime) -> Answer:
        return Answer(
            after=self.reading(at),
            transaction=done.transaction,
            hold=self.holds[done.hold - 1] if done.hold else None,
            limit=self.limit_at(self.limits[done.limit - 1], at) if done.limit else None,
        )

    def sweep(self, at: datetime) -> dict[str, int]:
        """Write what has fallen due."""
        made = self.copy()
        made.settle(max(at, made.last_at))
        written = made.transactions[len(self.transactions) :]
        if not self.opened or (not written and made.holds == self.holds):
            return {"balances": 0, "transactions": 0, "credits": 0}
        made.version += 1
        vars(self).update(vars(made))
        return {"balances": 1, "transactions": len(written), "credits": -sum(said.amount for said in written)}

    # Credits arrive

    def add(self, request: Request, at: datetime, *, type: str, amount: int, **terms: Any) -> Answer:  # noqa: A002
        return self.serve(request, at, lambda it, at: Done(it.give(type, amount, at, **terms)), opens=True)

    def adjust(self, request: Request, at: datetime, *, amount: int) -> Answer:
        def plan(it: Balance, at: datetime) -> Done:
            if amount > 0:
                return Done(it.give("adjustment", amount, at))
            it.require_funds(-amount, at)
            return Done(it.move("adjustment", at, it.taken(it.paying(-amount))))

        return self.serve(request, at, plan)

    # Credits are spent

    def deduct(self, request: Request, at: datetime, **asked: Any) -> Answer:
        return self.serve(request, at, lambda it, at: it.spend(at, **asked))

    def batch(self, requests: list[Request], at: datetime) -> list[Answer | Refused]:
        """Serve deductions one after another, in one go."""
        if not self.opened:
            raise Refused("balance_not_found")
        made = self.copy()
        at = max(at, made.last_at)
        made.settle(at)
        outcomes: list[Answer | Refused] = []
        for request in requests:
            try:
                earlier = made.remembered(request)
                if earlier is None:
                    made.asked = request
                    done = made.spend(at, **request.asked)
                    made.version += 1
                    earlier = made.answer(done, at)
                    made.remember(request, earlier)
                outcomes.append(earlier)
            except Refused as refusal:
                outcomes.append(refusal)
        made.asked = NOBODY
        if made.version > self.version:
            vars(self).update(vars(made))
        return outcomes

    def spend(
        self, at: datetime, *, amount: int | None, feature: str | None, quantity: int, member: int | None
    ) -> Done:
        cost, priced = self.price(at, amount, feature, quantity)
        self.require(cost, at, member)
        parts = self.taken(self.paying(cost))
        return Done(self.move("usage", at, parts, member=member, priced=priced))

    def price(
        self, at: datetime, amount: int | None, feature: str | None, quantity: int
    ) -> tuple[int, tuple[str, int] | None]:
        if feature is None:
            assert amount is not None
            return amount, None
        begun = [each for since, each in sorted(self.prices.get(feature, [])) if since <= at]
        if not begun:
            raise Refused("feature_not_found", {"feature": feature})
        return begun[-1] * quantity, (feature, quantity)

    def require(self, amount: int, at: datetime, member: int | None, hold: Hold | None = None) -> None:
        """Refuse what may not be spent; of ``amount`` the credits of ``hold`` are set aside already."""
        if self.suspended_at is not None:
            raise Refused("spending_suspended", {"suspended_at": self.suspended_at})
        self.require_room(amount, at, member, hold)
        self.require_funds(amount - (hold.amount if hold else 0), at)

    def require_funds(self, amount: int, at: datetime) -> None:
        available = self.available(at)
        if available < amount:
            held = sum(self.pinned().values())
            facts = {"required": amount, "available": available, "held": held, "shortfall": amount - available}
            raise Refused("insufficient_credits", facts)

    # Limits

    @staticmethod
    def window(period: str, at: datetime) -> tuple[datetime, datetime]:
        """The calendar day or month of ``at``, in UTC: its first instant, and the first one after it."""
        first = datetime(at.year, at.month, at.day if period == "day" else 1, tzinfo=UTC)
        if period == "day":
            return first, first + timedelta(days=1)
        return first, datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)

    def used(self, limit: Limit, at: datetime, without: Hold | None = None) -> int:
        """Usage and open holds, less refunds, each in the window of its usage or hold."""
        start, end = self.window(limit.period, at)
        used = 0
        for said in self.transactions:
            usage = self.transactions[said.reverses - 1] if said.type == "refund" and said.reverses else said
            if usage.type == "usage" and start <= usage.at < end and limit.member in {None, usage.member}:
                used -= said.amount
        for hold in self.open_holds():
            if hold is not without and start <= hold.created_at < end and limit.member in {None, hold.member}:
                used += hold.amount
        return used

    def limit_at(self, limit: Limit, at: datetime) -> tuple[int, int, int, datetime]:
        return limit.number, limit.amount, self.used(limit, at), self.window(limit.period, at)[1]

    def in_force(self) -> list[Limit]:
        return [limit for limit in self.limits if limit.removed_at is None]

    def require_room(self, amount: int, at: datetime, member: int | None, hold: Hold | None) -> None:
        broken = [
            self.limit_at(limit, at)
            for limit in self.in_force()
            if limit.member in {None, member} and self.used(limit, at, without=hold) + amount > limit.amount
        ]
        if broken:
            # The one to wait for longest; of those, the one with the least room; of those, the smallest.
            resets, over, less = max((resets, used - most, -most) for _, most, used, resets in broken)
            raise Refused("spending_limit_reached", {"limit": -less, "used": over - less, "resets_at": resets})

    def set_limit(self, request: Request, at: datetime, *, amount: int, period: str, member: int | None) -> Answer:
        if member is not None and not self.pool:
            raise wrong("member_id", "invalid_choice")

        def plan(it: Balance, at: datetime) -> Done:
            if member is not None and member not in it.members:
                raise Refused("user_not_found")
            for limit in it.in_force():
                if (limit.member, limit.period) == (member, period):
                    if limit.amount == amount:
                        return Done(limit=limit.number, changed=False)
                    it.limits[limit.number - 1] = replace(limit, amount=amount)
                    it.happens(at)
                    return Done(limit=limit.number)
            it.limits.append(Limit(len(it.limits) + 1, member, period, amount))
            it.happens(at)
            return Done(limit=len(it.limits))

        return self.serve(request, at, plan)

    def remove_limit(self, request: Request, at: datetime, *, limit: int) -> Answer:
        if not 0 < limit <= len(self.limits):
            raise Refused("limit_not_found")

        def plan(it: Balance, at: datetime) -> Done:
            found = it.limits[limit - 1]
            if found.removed_at is not None:
                raise Refused("limit_not_found")
            it.limits[limit - 1] = replace(found, removed_at=at)
            it.happens(at)
            return Done(limit=limit)

        return self.serve(request, at, plan)

    def suspend(self, request: Request, at: datetime) -> Answer:
        return self.serve(request, at, lambda it, at: it.let_spend(at, suspended=True))

    def resume(self, request: Request, at: datetime) -> Answer:
        return self.serve(request, at, lambda it, at: it.let_spend(at, suspended=False))

    def let_spend(self, at: datetime, *, suspended: bool) -> Done:
        if suspended == (self.suspended_at is not None):
            return Done(changed=False)
        self.suspended_at = at if suspended else None
        self.happens(at)
        return Done()

    # Holds

    def place(self, request: Request, at: datetime, *, seconds: int, member: int | None, **asked: Any) -> Answer:
        if not 0 < seconds <= LONGEST_HOLD:
            raise wrong("expires_in_seconds", "out_of_range")

        def plan(it: Balance, at: datetime) -> Done:
            cost, priced = it.price(at, **asked)
            it.require(cost, at, member)
            pins = tuple(it.paying(cost))
            until = at + timedelta(seconds=seconds)
            it.holds.append(Hold(len(it.holds) + 1, pins, at, until, member, priced))
            it.happens(at)
            return Done(hold=len(it.holds))

        return self.serve(request, at, plan)

    def on_hold(
        self, request: Request, at: datetime, hold: int, plan: Callable[["Balance", datetime, Hold], Done]
    ) -> Answer:
        if not 0 < hold <= len(self.holds):
            raise Refused("hold_not_found")

        def checked(it: Balance, at: datetime) -> Done:
            found = it.holds[hold - 1]
            if found.status != "open":
                raise Refused("hold_closed")
            return plan(it, at, found)

        return self.serve(request, at, checked)

    def release(self, request: Request, at: datetime, *, hold: int) -> Answer:
        return self.on_hold(request, at, hold, Balance.let_go)

    def let_go(self, at: datetime, hold: Hold) -> Done:
        self.end(hold, "released", at)
        self.clear(at)
        return Done(hold=hold.number)

    def capture(self, request: Request, at: datetime, *, hold: int, amount: int | None) -> Answer:
        def plan(it: Balance, at: datetime, found: Hold) -> Done:
            wanted = found.amount if amount is None else amount
            return it.use(found, wanted, at) if wanted else it.let_go(at, found)

        return self.on_hold(request, at, hold, plan)

    def use(self, hold: Hold, wanted: int, at: datetime) -> Done:
        extra: list[int] = []
        if wanted > hold.amount:
            self.require(wanted, at, hold.member, hold)
            extra = self.paying(wanted - hold.amount)
        self.holds[hold.number - 1] = replace(hold, captured=wanted)
        self.end(hold, "captured", at)
        parts = self.taken(sorted([*hold.pins[:wanted], *extra], key=lambda grant: self.grants[grant - 1].turn()))
        recorded = self.move("usage", at, parts, hold=hold.number, member=hold.member, priced=hold.priced)
        self.clear(at)
        return Done(recorded, hold.number)

    def extend_hold(self, request: Request, at: datetime, *, hold: int, seconds: int) -> Answer:
        if not 0 < seconds <= LONGEST_HOLD:
            raise wrong("expires_in_seconds", "out_of_range")

        def plan(it: Balance, at: datetime, found: Hold) -> Done:
            until = max(found.expires_at, at + timedelta(seconds=seconds))
            it.holds[hold - 1] = replace(found, expires_at=until)
            it.happens(at)
            return Done(hold=hold)

        return self.on_hold(request, at, hold, plan)

    # Corrections

    def linked(self, number: int) -> int:
        """How much of a transaction was refunded or reversed already."""
        return abs(sum(said.amount for said in self.transactions if said.reverses == number))

    def left_of(
        self, number: int, amount: int | None, kind: str, other: str, beyond: str, fact: str
    ) -> tuple[Transaction, int]:
        original = self.transactions[number - 1]
        if original.type != kind:
            raise Refused(other)
        left = abs(original.amount) - self.linked(number)
        wanted = left if amount is None else amount
        if not 0 < wanted <= left:
            raise Refused(beyond, {fact: left})
        return original, wanted

    def refund(
        self, request: Request, at: datetime, *, transaction: int, amount: int | None, expires_at: datetime | None
    ) -> Answer:
        if not 0 < transaction <= len(self.transactions):
            raise Refused("transaction_not_found")

        def plan(it: Balance, at: datetime) -> Done:
            usage, wanted = it.left_of(
                transaction, amount, "usage", "not_refundable", "refund_exceeds_usage", "refundable"
            )
            if expires_at is not None and expires_at <= at:
                raise wrong("expires_at", "in_past")
            drawn = [share.grant for share in reversed(usage.shares) for _ in range(-share.amount)]
            before = it.linked(transaction)
            return Done(it.return_to(drawn[before : before + wanted], usage, expires_at, at))

        return self.serve(request, at, plan)

    def return_to(self, grants: list[int | None], usage: Transaction, expires_at: datetime | None, at: datetime) -> int:
        """Give credits back to their grants, one by one; those of expired grants to a new one that expires then."""
        back = [self.grants[grant - 1] for grant in grants if grant is not None]
        if expires_at is not None:
            gone = [grant for grant in back if grant.over(at) and grant.number not in self.voided]
            if gone:
                made = self.grant("adjustment", len(gone), at, expires_at=expires_at)
                back = [made if grant in gone else grant for grant in back]
        owed, repaid = self.debt(), 0
        parts: dict[int | None, int] = {}
        for grant in sorted(back, key=Grant.turn):
            if self.spendable(grant, at) and repaid < owed:
                repaid += 1
            else:
                parts[grant.number] = parts.get(grant.number, 0) + 1
        if repaid:
            parts[None] = repaid
        number = self.move("refund", at, parts.items(), reverses=usage.number, member=usage.member)
        self.clear(at)
        return number

    def reverse(self, request: Request, at: datetime, *, transaction: int, amount: int | None) -> Answer:
        if not 0 < transaction <= len(self.transactions):
            raise Refused("transaction_not_found")

        def plan(it: Balance, at: datetime) -> Done:
            purchase, wanted = it.left_of(
                transaction, amount, "purchase", "not_reversible", "reversal_exceeds_purchase", "reversible"
            )
            taken = it.paying(wanted, first=it.grants_from(purchase))
            parts = it.taken(taken)
            if len(taken) < wanted:
                parts.append((None, len(taken) - wanted))
            return Done(it.move("reversal", at, parts, reverses=transaction, member=purchase.member))

        return self.serve(request, at, plan)

    def grants_from(self, purchase: Transaction) -> set[int]:
        """The grant of a purchase, and what its credits were moved to since."""
        # A gift opens one grant at its instant, and writes one share on it, unless debt took all.
        found = {self.opened_by(purchase.number)}
        for grant in self.grants:
            if grant.parent in found:
                found.add(grant.number)
        return found

    def opened_by(self, number: int) -> int:
        gifts = ("allocation", "purchase", "promotion")
        given = [grant for grant in self.grants if grant.source in gifts and grant.parent is None]
        said = [said.number for said in self.transactions if said.type in gifts]
        return given[said.index(number)].number

    def void(self, request: Request, at: datetime, *, grant: int) -> Answer:
        if not 0 < grant <= len(self.grants):
            raise Refused("grant_not_found")

        def plan(it: Balance, at: datetime) -> Done:
            if grant in it.voided:
                return Done(changed=False)
            free = it.free()[grant]
            if it.grants[grant - 1].over(at) or free + it.pinned()[grant] == 0:
                raise Refused("grant_not_voidable")
            recorded = it.move("void", at, [(grant, -free)]) if free else None
            it.voided[grant] = at
            it.happens(at)
            return Done(recorded)

        return self.serve(request, at, plan)

    def extend(self, request: Request, at: datetime, *, grant: int, expires_at: datetime) -> Answer:
        if not 0 < grant <= len(self.grants):
            raise Refused("grant_not_found")

        def plan(it: Balance, at: datetime) -> Done:
            old, free = it.grants[grant - 1], it.free()[grant]
            if old.expires_at is None or not it.spendable(old, at) or not free:
                raise Refused("grant_not_extendable")
            if expires_at <= at:
                raise wrong("expires_at", "in_past")
            if expires_at <= old.expires_at:
                raise wrong("expires_at", "out_of_range")
            rolls = old.roll_cap is not None and (old.roll_until is None or old.roll_until > expires_at)
            terms = {"roll_cap": old.roll_cap, "roll_until": old.roll_until} if rolls else {}
            made = it.grant(old.source, free, at, priority=old.priority, expires_at=expires_at, parent=grant, **terms)
            return Done(it.move("adjustment", at, [(grant, -free), (made.number, free)]))

        return self.serve(request, at, plan)
