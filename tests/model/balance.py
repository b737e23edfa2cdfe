"""A model of one balance in plain Python, written independently of the ledger.

The model stores what happened (grants, holds, transactions with their entries) and no sums: every amount is computed
from the history when it is read, and payments are computed credit by credit. It is slow and simple on purpose, and it
imports nothing of the project. Rows are identified by number, from 1. Credits are whole, timestamps are aware, and a
period ends before its end instant.

``Grant.burn_position`` is one of the five places that contain the burn order; the others are
``credits/domain/burn_order.py``, ``credits/queries/sql/balance_states.sql``,
``credits/verification/rules/burn_order.sql`` and
``fluxori/devtools/bench/reference.sql``.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

NEVER = datetime.max.replace(tzinfo=UTC)
MAX_HOLD_SECONDS = 24 * 60 * 60
MAX_AHEAD = timedelta(minutes=5)
MAX_CAPTURE_DEBT = 1000

Facts = dict[str, Any]


class RejectedError(Exception):
    """A rejected request: the error code and its facts."""

    def __init__(self, code: str, facts: Facts | None = None) -> None:
        super().__init__(code, facts)
        self.code = code
        self.facts = facts or {}


def invalid(field: str, code: str) -> RejectedError:
    return RejectedError("invalid", {"errors": {(field, code)}})


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

    def is_expired(self, at: datetime) -> bool:
        return self.expires_at is not None and at >= self.expires_at

    def burn_position(self) -> tuple[Any, ...]:
        bought_last = 1 if self.source == "purchase" else 0
        ends = (self.expires_at is None, self.expires_at or NEVER)
        return (self.priority, ends, bought_last, self.effective_at, self.number)


@dataclass(frozen=True)
class Hold:
    """``pins`` contains the grant of each held credit; the credits are pinned while the hold is open."""

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
class Entry:
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
    entries: tuple[Entry, ...]
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
class Snapshot:
    """The balance as a read shows it."""

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
class Result:
    """The result of a request: the balance right after it, and the rows that it concerns, as of then."""

    after: Snapshot
    transaction: int | None = None
    hold: Hold | None = None
    limit: tuple[int, int, int, datetime] | None = None
    replayed: bool = False


@dataclass(frozen=True)
class Outcome:
    """The effect of an operation; ``changed`` is False if the state was already as requested."""

    transaction: int | None = None
    hold: int | None = None
    limit: int | None = None
    changed: bool = True


@dataclass(frozen=True)
class Request:
    verb: str
    arguments: Facts
    caller: int | None = None
    key: str | None = None


NO_REQUEST = Request("", {})
Plan = Callable[[Any, datetime], Outcome]


class Balance:
    """The model. Each operation takes effect completely or raises :class:`RejectedError` and changes nothing."""

    def __init__(self, *, pool: bool, members: Iterable[int], prices: dict[str, list[tuple[datetime, int]]]) -> None:
        self.pool = pool
        self.members = frozenset(members)
        self.prices = prices
        self.opened = False
        self.grants: list[Grant] = []
        self.voided: dict[int, datetime] = {}
        # The grants that arrived by transfer, with the transaction that brought each.
        self.received: dict[int, int] = {}
        self.holds: list[Hold] = []
        self.transactions: list[Transaction] = []
        self.limits: list[Limit] = []
        self.suspended_at: datetime | None = None
        self.requests: dict[tuple[int | None, str], tuple[Request, Result]] = {}
        self.version = 0
        self.clock = NEVER
        self.last_at = datetime.min.replace(tzinfo=UTC)
        self.request = NO_REQUEST

    # Reads

    def balance(self) -> int:
        return sum(transaction.amount for transaction in self.transactions)

    def debt(self) -> int:
        return -sum(
            entry.amount for transaction in self.transactions for entry in transaction.entries if entry.grant is None
        )

    def pinned(self) -> dict[int, int]:
        """Return the pinned credits of each grant."""
        found = {grant.number: 0 for grant in self.grants}
        for hold in self.open_holds():
            for grant in hold.pins:
                found[grant] += 1
        return found

    def free(self) -> dict[int, int]:
        """Return the remaining credits of each grant: the sum of its entries, less its pins."""
        found = {grant: -pins for grant, pins in self.pinned().items()}
        for transaction in self.transactions:
            for entry in transaction.entries:
                if entry.grant is not None:
                    found[entry.grant] += entry.amount
        assert all(remaining >= 0 for remaining in found.values())
        return found

    def open_holds(self) -> list[Hold]:
        return [hold for hold in self.holds if hold.status == "open"]

    def spendable(self, grant: Grant, at: datetime) -> bool:
        return not grant.is_expired(at) and grant.number not in self.voided

    def available(self, at: datetime) -> int:
        free = self.free()
        return sum(free[grant.number] for grant in self.grants if self.spendable(grant, at))

    def grants_paying(self, amount: int, first: Iterable[int] = ()) -> list[int]:
        """Return the grant that pays each credit of ``amount``, in burn order, with the grants in ``first`` first.

        The list is shorter if there are fewer credits.
        """
        free, preferred = self.free(), set(first)
        grants = sorted(self.grants, key=lambda grant: (grant.number not in preferred, grant.burn_position()))
        return [grant.number for grant in grants for _ in range(free[grant.number])][:amount]

    def snapshot(self, at: datetime) -> Snapshot:
        """Return the balance at ``at``; due events must have been applied."""
        return Snapshot(
            balance=self.balance(),
            held=sum(self.pinned().values()),
            available=self.available(at),
            debt=self.debt(),
            next_expiry=self.next_expiry(),
            sequence=len(self.transactions),
            version=self.version,
            last_updated=self.last_at,
            suspended_at=self.suspended_at,
        )

    def next_expiry(self) -> tuple[int, datetime] | None:
        """Let time pass for a copy, one instant after another, with the holds left open, until credits expire."""
        state = self.copy()
        while True:
            free = state.free()
            ends = [grant.expires_at for grant in state.grants if free[grant.number] and grant.expires_at is not None]
            if not ends:
                return None
            known = len(state.transactions)
            state.apply_due_events(min(ends), with_lapses=False)
            expired = -sum(each.amount for each in state.transactions[known:] if each.type == "expiry")
            if expired:
                return expired, min(ends)

    def snapshot_at(self, at: datetime) -> Snapshot:
        """Return the balance at ``at`` with due events applied; the model is not changed."""
        state = self.with_due_events(at)
        return state.snapshot(max(at, self.last_at))

    def grant_status(self, grant: Grant, at: datetime) -> str:
        if grant.number in self.voided:
            return "voided"
        if grant.is_expired(at):
            return "expired"
        return "active" if self.free()[grant.number] + self.pinned()[grant.number] else "spent"

    # Changes

    def copy(self) -> Self:
        state = object.__new__(type(self))
        for name, value in vars(self).items():
            setattr(state, name, value.copy() if isinstance(value, list | dict) else value)
        return state

    def with_due_events(self, at: datetime) -> Self:
        """Return a copy with the events applied that are due by ``at``, or by the last change if that is later."""
        state = self.copy()
        state.apply_due_events(max(at, state.last_at))
        return state

    def record_change(self, at: datetime) -> None:
        self.last_at = max(self.last_at, at)

    def post(self, kind: str, at: datetime, parts: Iterable[tuple[int | None, int]], **facts: Any) -> int:
        """Append a transaction with these signed amounts and return its number."""
        entries = []
        free = self.free()
        for grant, amount in parts:
            if grant is not None:
                free[grant] += amount
            entries.append(Entry(grant, amount, None if grant is None else free[grant]))
        amount = sum(entry.amount for entry in entries)
        self.transactions.append(
            Transaction(
                number=len(self.transactions) + 1,
                type=kind,
                amount=amount,
                balance_after=self.balance() + amount,
                at=at,
                entries=tuple(entries),
                caller=self.request.caller,
                key=self.request.key,
                **facts,
            )
        )
        self.record_change(at)
        return len(self.transactions)

    def grant(self, source: str, amount: int, at: datetime, **terms: Any) -> Grant:
        terms = {"priority": 50, "expires_at": None, **terms}
        created = Grant(number=len(self.grants) + 1, source=source, amount=amount, effective_at=at, **terms)
        self.grants.append(created)
        return created

    def add_credits(self, kind: str, amount: int, at: datetime, **terms: Any) -> int:
        """Add credits; debt is repaid first."""
        if terms.get("expires_at") is not None and terms["expires_at"] <= at:
            raise invalid("expires_at", "in_past")
        owed = min(self.debt(), amount)
        created = self.grant(kind, amount, at, **terms)
        parts = [(created.number, amount - owed), (None, owed)]
        return self.post(kind, at, [part for part in parts if part[1]])

    def close_hold(self, hold: Hold, status: str, at: datetime) -> None:
        self.holds[hold.number - 1] = replace(self.holds[hold.number - 1], status=status, closed_at=at)
        self.record_change(at)

    def apply_due_events(self, at: datetime, *, with_lapses: bool = True) -> None:
        """Apply all events that are due by ``at``, in order of time; at one instant, lapses come first."""
        while True:
            free = self.free()
            lapsing = self.open_holds() if with_lapses else []
            due = [hold.expires_at for hold in lapsing]
            due += [grant.expires_at for grant in self.grants if grant.expires_at is not None and free[grant.number]]
            due = [instant for instant in due if instant <= at]
            if not due:
                return
            instant = min(due)
            for hold in lapsing:
                if hold.expires_at == instant:
                    self.close_hold(hold, "lapsed", instant)
            self.normalize(instant, ends=True)

    def normalize(self, at: datetime, *, ends: bool = False) -> None:
        """Remove free credits that may no longer be spent, and repay debt with the others, outside of any request.

        With ``ends`` the grants that expire at ``at`` end now, after the credits that have come back to earlier ones.
        """
        self.request = NO_REQUEST
        self.follow_extensions(at)
        caps = [0]

        def is_ending(grant: Grant) -> bool:
            return ends and grant.expires_at == at and grant.number not in self.voided

        for grant in sorted(self.grants, key=lambda grant: (is_ending(grant), grant.burn_position())):
            # Grants that are created in this loop have just begun and are not considered.
            if self.spendable(grant, at):
                continue
            self.repay_what_was_reversed(grant, at)
            free = self.free()[grant.number]
            if free == 0:
                continue
            if grant.number in self.voided:
                self.post("void", at, [(grant.number, -free)])
            elif is_ending(grant):
                caps.append(self.expire_grant(grant, free, at))
            else:
                self.expire_late(grant, free, at)
        # What rolls over at one instant entries the largest cap, once all that leaves has left.
        if max(caps):
            self.enforce_rollover_cap(max(caps), at)
        paid = self.grants_paying(self.debt())
        if paid:
            self.post("reversal", at, [*self.deltas(paid), (None, len(paid))])

    def repay_what_was_reversed(self, grant: Grant, at: datetime) -> None:
        """Repay debt with credits that came back although a reversal of their purchase had taken them already."""
        root = grant
        while root.parent is not None:
            root = self.grants[root.parent - 1]
        bought = next(
            (t for t in self.transactions if t.type == "purchase" and self.grant_of(t.number) == root.number), None
        )
        if bought is None:
            return
        free = self.free()[grant.number]
        repaid = min(free - min(free, max(self.reversible(bought), 0)), self.debt())
        if repaid > 0:
            self.post("reversal", at, [(grant.number, -repaid), (None, repaid)])

    def reversible(self, purchase: Transaction) -> int:
        """Return what a reversal may still take: the credits that are there, pinned or consumed, and not yet taken."""
        own = self.grants_from(purchase)
        free, pinned = self.free(), self.pinned()
        there = sum(free[grant] + pinned[grant] for grant in own)
        consumed = sum(entry.amount for entry in purchase.entries if entry.grant is None)
        taken_elsewhere = 0
        for transaction in self.transactions:
            here = sum(entry.amount for entry in transaction.entries if entry.grant in own)
            if transaction.type == "reversal" and transaction.reverses == purchase.number:
                taken_elsewhere += here - transaction.amount
            elif transaction.type in {"usage", "refund", "reversal", "transfer"}:
                consumed -= here
        return there + consumed - taken_elsewhere

    def expire_grant(self, grant: Grant, free: int, at: datetime) -> int:
        """Expire the free credits or roll them over. Return the cap that applied, or 0 if nothing rolled over."""
        rolled = min(free, grant.roll_cap or 0)
        if free > rolled:
            self.post("expiry", at, [(grant.number, rolled - free)])
        if rolled == 0:
            return 0
        created = self.grant("rollover", rolled, at, priority=40, expires_at=grant.roll_until, parent=grant.number)
        self.post("rollover", at, [(grant.number, -rolled), (created.number, rolled)])
        return grant.roll_cap or 0

    def expire_late(self, grant: Grant, free: int, at: datetime) -> None:
        """Expire credits that came back after their grant had ended, except those that fit under its cap."""
        remaining = self.free()
        there = sum(remaining[g.number] for g in self.grants if g.source == "rollover" and self.spendable(g, at))
        fitting = 0
        if grant.roll_until is None or grant.roll_until > at:
            while fitting < free and there + fitting < (grant.roll_cap or 0):
                fitting += 1
        if free > fitting:
            self.post("expiry", at, [(grant.number, fitting - free)])
        if fitting:
            created = self.grant("rollover", fitting, at, priority=40, expires_at=grant.roll_until, parent=grant.number)
            self.post("rollover", at, [(grant.number, -fitting), (created.number, fitting)])

    def enforce_rollover_cap(self, cap: int, at: datetime) -> None:
        """Expire the oldest rolled-over credits, one by one, until ``cap`` are left."""
        free = self.free()
        pool = [
            grant.number
            for grant in sorted(self.grants, key=lambda grant: (grant.effective_at, grant.number))
            if grant.source == "rollover" and self.spendable(grant, at)
            for _ in range(free[grant.number])
        ]
        excess = pool[: max(len(pool) - cap, 0)]
        for part in self.deltas(excess):
            self.post("expiry", at, [part])

    @staticmethod
    def deltas(credits: Iterable[int]) -> list[tuple[int | None, int]]:
        """Return the signed amount of each grant for credits given as a list of grants, in order of appearance."""
        parts: dict[int | None, int] = {}
        for grant in credits:
            parts[grant] = parts.get(grant, 0) - 1
        return list(parts.items())

    # Requests

    def execute(self, request: Request, at: datetime, plan: Plan, *, opens: bool = False) -> Result:
        """Reject the request, return its stored result, or apply ``plan`` completely."""
        if at - self.clock > MAX_AHEAD:
            raise invalid("at", "in_future")
        if not self.opened and not opens:
            raise RejectedError("balance_not_found")
        state = self.copy()
        if not state.opened:
            state.opened, state.last_at = True, at
        at = max(at, state.last_at)
        previous = state.find_result(request)
        if previous:
            return previous
        state.apply_due_events(at)
        state.request = request
        outcome = plan(state, at)
        state.request = NO_REQUEST
        if not outcome.changed and request.key is None:
            return state.build_result(outcome, at)
        state.version += 1
        answer = state.build_result(outcome, at)
        state.store_result(request, answer)
        vars(self).update(vars(state))
        return answer

    def find_result(self, request: Request) -> Result | None:
        if request.key is None or (request.caller, request.key) not in self.requests:
            return None
        first, answer = self.requests[request.caller, request.key]
        if (first.verb, first.arguments) != (request.verb, request.arguments):
            raise RejectedError("idempotency_key_reused")
        return replace(answer, replayed=True)

    def store_result(self, request: Request, answer: Result) -> None:
        if request.key is not None:
            self.requests[request.caller, request.key] = (request, answer)

    def build_result(self, outcome: Outcome, at: datetime) -> Result:
        return Result(
            after=self.snapshot(at),
            transaction=outcome.transaction,
            hold=self.holds[outcome.hold - 1] if outcome.hold else None,
            limit=self.limit_status(self.limits[outcome.limit - 1], at) if outcome.limit else None,
        )

    def run_expiry_job(self, at: datetime) -> dict[str, int]:
        """Store the due events."""
        state = self.copy()
        state.apply_due_events(max(at, state.last_at))
        written = state.transactions[len(self.transactions) :]
        if not self.opened or (not written and state.holds == self.holds):
            return {"balances": 0, "transactions": 0, "credits": 0}
        state.version += 1
        vars(self).update(vars(state))
        return {
            "balances": 1,
            "transactions": len(written),
            "credits": -sum(transaction.amount for transaction in written),
        }

    # Additions

    def add(self, request: Request, at: datetime, *, type: str, amount: int, **terms: Any) -> Result:  # noqa: A002
        return self.execute(
            request, at, lambda state, at: Outcome(state.add_credits(type, amount, at, **terms)), opens=True
        )

    def adjust(self, request: Request, at: datetime, *, amount: int) -> Result:
        def plan(state: Balance, at: datetime) -> Outcome:
            if amount > 0:
                return Outcome(state.add_credits("adjustment", amount, at))
            state.check_funds(-amount, at)
            return Outcome(state.post("adjustment", at, state.deltas(state.grants_paying(-amount))))

        return self.execute(request, at, plan)

    # Transfers

    def transfer_out(self, request: Request, at: datetime, *, amount: int) -> Result:
        def plan(state: Balance, at: datetime) -> Outcome:
            state.check_not_suspended()
            state.check_funds(amount, at)
            return Outcome(state.post("transfer", at, state.deltas(state.grants_paying(amount))))

        return self.execute(request, at, plan)

    def transfer_in(self, request: Request, at: datetime, *, amount: int) -> Result:
        """Receive credits of one promotion without expiry, from a balance that has enough of them."""

        def plan(state: Balance, at: datetime) -> Outcome:
            state.check_not_suspended()
            owed = min(state.debt(), amount)
            created = state.grant("promotion", amount, at)
            parts = [(created.number, amount - owed), (None, owed)]
            number = state.post("transfer", at, [part for part in parts if part[1]])
            state.received[created.number] = number
            return Outcome(number)

        return self.execute(request, at, plan)

    def check_not_suspended(self) -> None:
        if self.suspended_at is not None:
            raise RejectedError("spending_suspended", {"suspended_at": self.suspended_at})

    # Deductions

    def deduct(self, request: Request, at: datetime, **arguments: Any) -> Result:
        return self.execute(request, at, lambda state, at: state.spend(at, **arguments))

    def batch(self, requests: list[Request], at: datetime) -> list[Result | RejectedError]:
        """Apply several deductions in order, each with its own result."""
        if not self.opened:
            raise RejectedError("balance_not_found")
        state = self.copy()
        at = max(at, state.last_at)
        state.apply_due_events(at)
        outcomes: list[Result | RejectedError] = []
        for request in requests:
            try:
                previous = state.find_result(request)
                if previous is None:
                    state.request = request
                    outcome = state.spend(at, **request.arguments)
                    state.version += 1
                    previous = state.build_result(outcome, at)
                    state.store_result(request, previous)
                outcomes.append(previous)
            except RejectedError as rejection:
                outcomes.append(rejection)
        state.request = NO_REQUEST
        if state.version > self.version:
            vars(self).update(vars(state))
        return outcomes

    def spend(
        self, at: datetime, *, amount: int | None, feature: str | None, quantity: int, member: int | None
    ) -> Outcome:
        cost, priced = self.price(at, amount, feature, quantity)
        self.check_spendable(cost, at, member)
        parts = self.deltas(self.grants_paying(cost))
        return Outcome(self.post("usage", at, parts, member=member, priced=priced))

    def price(
        self, at: datetime, amount: int | None, feature: str | None, quantity: int
    ) -> tuple[int, tuple[str, int] | None]:
        if feature is None:
            assert amount is not None
            return amount, None
        begun = [each for since, each in sorted(self.prices.get(feature, [])) if since <= at]
        if not begun:
            raise RejectedError("feature_not_found", {"feature": feature})
        return begun[-1] * quantity, (feature, quantity)

    def check_spendable(
        self, amount: int, at: datetime, member: int | None, hold: Hold | None = None, new_debt: int = 0
    ) -> None:
        """Reject if ``amount`` may not be spent. The credits of ``hold`` are part of it and already reserved."""
        self.check_not_suspended()
        self.check_limits(amount, at, member, hold)
        self.check_funds(amount - (hold.amount if hold else 0), at, new_debt)

    def check_funds(self, amount: int, at: datetime, new_debt: int = 0) -> None:
        available = self.available(at)
        if available + new_debt < amount:
            held = sum(self.pinned().values())
            facts = {"required": amount, "available": available, "held": held, "shortfall": amount - available}
            raise RejectedError("insufficient_credits", facts)

    # Limits

    @staticmethod
    def window(period: str, at: datetime) -> tuple[datetime, datetime]:
        """Return the start and the end of the UTC calendar day or month that contains ``at``."""
        first = datetime(at.year, at.month, at.day if period == "day" else 1, tzinfo=UTC)
        if period == "day":
            return first, first + timedelta(days=1)
        return first, datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)

    def used(self, limit: Limit, at: datetime, without: Hold | None = None) -> int:
        """Return usage plus open holds less refunds, each counted in the window of its usage or hold."""
        start, end = self.window(limit.period, at)
        used = 0
        for transaction in self.transactions:
            usage = (
                self.transactions[transaction.reverses - 1]
                if transaction.type == "refund" and transaction.reverses
                else transaction
            )
            if usage.type == "usage" and start <= usage.at < end and limit.member in {None, usage.member}:
                used -= transaction.amount
        for hold in self.open_holds():
            if hold is not without and start <= hold.created_at < end and limit.member in {None, hold.member}:
                used += hold.amount
        return used

    def limit_status(self, limit: Limit, at: datetime) -> tuple[int, int, int, datetime]:
        return limit.number, limit.amount, self.used(limit, at), self.window(limit.period, at)[1]

    def active_limits(self) -> list[Limit]:
        return [limit for limit in self.limits if limit.removed_at is None]

    def check_limits(self, amount: int, at: datetime, member: int | None, hold: Hold | None) -> None:
        exceeded = [
            self.limit_status(limit, at)
            for limit in self.active_limits()
            if limit.member in {None, member} and self.used(limit, at, without=hold) + amount > limit.amount
        ]
        if exceeded:
            # The limit that resets last; then the one with the least room; then the smallest.
            resets, over, less = max((resets, used - most, -most) for _, most, used, resets in exceeded)
            raise RejectedError("spending_limit_reached", {"limit": -less, "used": over - less, "resets_at": resets})

    def set_limit(self, request: Request, at: datetime, *, amount: int, period: str, member: int | None) -> Result:
        if member is not None and not self.pool:
            raise invalid("member_id", "invalid_choice")

        def plan(state: Balance, at: datetime) -> Outcome:
            if member is not None and member not in state.members:
                raise RejectedError("user_not_found")
            for limit in state.active_limits():
                if (limit.member, limit.period) == (member, period):
                    if limit.amount == amount:
                        return Outcome(limit=limit.number, changed=False)
                    state.limits[limit.number - 1] = replace(limit, amount=amount)
                    state.record_change(at)
                    return Outcome(limit=limit.number)
            state.limits.append(Limit(len(state.limits) + 1, member, period, amount))
            state.record_change(at)
            return Outcome(limit=len(state.limits))

        return self.execute(request, at, plan)

    def remove_limit(self, request: Request, at: datetime, *, limit: int) -> Result:
        if not 0 < limit <= len(self.limits):
            raise RejectedError("limit_not_found")

        def plan(state: Balance, at: datetime) -> Outcome:
            found = state.limits[limit - 1]
            if found.removed_at is not None:
                raise RejectedError("limit_not_found")
            state.limits[limit - 1] = replace(found, removed_at=at)
            state.record_change(at)
            return Outcome(limit=limit)

        return self.execute(request, at, plan)

    def suspend(self, request: Request, at: datetime) -> Result:
        return self.execute(request, at, lambda state, at: state.set_suspended(at, suspended=True))

    def resume(self, request: Request, at: datetime) -> Result:
        return self.execute(request, at, lambda state, at: state.set_suspended(at, suspended=False))

    def set_suspended(self, at: datetime, *, suspended: bool) -> Outcome:
        if suspended == (self.suspended_at is not None):
            return Outcome(changed=False)
        self.suspended_at = at if suspended else None
        self.record_change(at)
        return Outcome()

    # Holds

    def place(self, request: Request, at: datetime, *, seconds: int, member: int | None, **arguments: Any) -> Result:
        if not 0 < seconds <= MAX_HOLD_SECONDS:
            raise invalid("expires_in_seconds", "out_of_range")

        def plan(state: Balance, at: datetime) -> Outcome:
            cost, priced = state.price(at, **arguments)
            state.check_spendable(cost, at, member)
            pins = tuple(state.grants_paying(cost))
            until = at + timedelta(seconds=seconds)
            state.holds.append(Hold(len(state.holds) + 1, pins, at, until, member, priced))
            state.record_change(at)
            return Outcome(hold=len(state.holds))

        return self.execute(request, at, plan)

    def with_open_hold(
        self, request: Request, at: datetime, hold: int, plan: Callable[["Balance", datetime, Hold], Outcome]
    ) -> Result:
        if not 0 < hold <= len(self.holds):
            raise RejectedError("hold_not_found")

        def checked(state: Balance, at: datetime) -> Outcome:
            found = state.holds[hold - 1]
            if found.status != "open":
                raise RejectedError("hold_closed", {"hold_status": found.status})
            return plan(state, at, found)

        return self.execute(request, at, checked)

    def release(self, request: Request, at: datetime, *, hold: int) -> Result:
        return self.with_open_hold(request, at, hold, Balance.release_open_hold)

    def release_open_hold(self, at: datetime, hold: Hold) -> Outcome:
        self.close_hold(hold, "released", at)
        self.normalize(at)
        return Outcome(hold=hold.number)

    def capture(
        self, request: Request, at: datetime, *, hold: int, amount: int | None, allow_debt: bool = False
    ) -> Result:
        def plan(state: Balance, at: datetime, found: Hold) -> Outcome:
            wanted = found.amount if amount is None else amount
            if not wanted:
                return state.release_open_hold(at, found)
            return state.capture_open_hold(found, wanted, at, allow_debt=allow_debt)

        return self.with_open_hold(request, at, hold, plan)

    def capture_open_hold(self, hold: Hold, wanted: int, at: datetime, *, allow_debt: bool) -> Outcome:
        extra: list[int] = []
        if wanted > hold.amount:
            new_debt = max(MAX_CAPTURE_DEBT - self.debt(), 0) if allow_debt else 0
            self.check_spendable(wanted, at, hold.member, hold, new_debt)
            extra = self.grants_paying(wanted - hold.amount)
        missing = max(wanted - hold.amount - len(extra), 0)
        self.holds[hold.number - 1] = replace(hold, captured=wanted)
        self.close_hold(hold, "captured", at)
        parts = self.deltas(
            sorted([*hold.pins[:wanted], *extra], key=lambda grant: self.grants[grant - 1].burn_position())
        )
        if missing:
            parts.append((None, -missing))
        recorded = self.post("usage", at, parts, hold=hold.number, member=hold.member, priced=hold.priced)
        self.normalize(at)
        return Outcome(recorded, hold.number)

    def extend_hold(self, request: Request, at: datetime, *, hold: int, seconds: int) -> Result:
        if not 0 < seconds <= MAX_HOLD_SECONDS:
            raise invalid("expires_in_seconds", "out_of_range")

        def plan(state: Balance, at: datetime, found: Hold) -> Outcome:
            if at + timedelta(seconds=seconds) > found.created_at + timedelta(days=7):
                raise invalid("expires_in_seconds", "out_of_range")
            until = max(found.expires_at, at + timedelta(seconds=seconds))
            state.holds[hold - 1] = replace(found, expires_at=until)
            state.record_change(at)
            return Outcome(hold=hold)

        return self.with_open_hold(request, at, hold, plan)

    # Corrections

    def corrected_amount(self, number: int) -> int:
        """Return how much of a transaction was refunded or reversed already."""
        return abs(sum(transaction.amount for transaction in self.transactions if transaction.reverses == number))

    def correctable(
        self, number: int, amount: int | None, kind: str, other: str, beyond: str, fact: str
    ) -> tuple[Transaction, int]:
        original = self.transactions[number - 1]
        if original.type != kind:
            raise RejectedError(other)
        left = (
            max(self.reversible(original), 0)
            if kind == "purchase"
            else -original.amount - self.corrected_amount(number)
        )
        wanted = left if amount is None else amount
        if not 0 < wanted <= left:
            raise RejectedError(beyond, {fact: left})
        return original, wanted

    def refund(
        self, request: Request, at: datetime, *, transaction: int, amount: int | None, expires_at: datetime | None
    ) -> Result:
        if not 0 < transaction <= len(self.transactions):
            raise RejectedError("transaction_not_found")

        def plan(state: Balance, at: datetime) -> Outcome:
            usage, wanted = state.correctable(
                transaction, amount, "usage", "not_refundable", "refund_exceeds_usage", "refundable"
            )
            if expires_at is not None and expires_at <= at:
                raise invalid("expires_at", "in_past")
            used = [entry.grant for entry in reversed(usage.entries) for _ in range(-entry.amount)]
            before = state.corrected_amount(transaction)
            return Outcome(state.return_to_grants(used[before : before + wanted], usage, expires_at, at))

        return self.execute(request, at, plan)

    def return_to_grants(
        self, grants: list[int | None], usage: Transaction, expires_at: datetime | None, at: datetime
    ) -> int:
        """Return credits to their grants one by one. With ``expires_at``, a new grant replaces the expired ones.

        Credits of a grant that was extended move on to a grant that lasts as long as the last extension.
        """
        back = [self.grants[grant - 1] for grant in grants if grant is not None]
        taken_as_debt = len(grants) - len(back)
        repaid = min(self.debt(), taken_as_debt)
        new = taken_as_debt - repaid
        if expires_at is not None:
            expired = [
                grant
                for grant in back
                if self.extension(grant).is_expired(at) and self.extension(grant).number not in self.voided
            ]
            new += len(expired)
            back = [grant for grant in back if grant not in expired]
        if new:
            back += [self.grant("adjustment", new, at, expires_at=expires_at)] * new
        owed = self.debt()
        parts: dict[int | None, int] = {}
        for grant in sorted(back, key=lambda grant: self.extension(grant).burn_position()):
            if self.spendable(self.extension(grant), at) and repaid < owed:
                repaid += 1
            else:
                parts[grant.number] = parts.get(grant.number, 0) + 1
        if repaid:
            parts[None] = repaid
        number = self.post("refund", at, parts.items(), reverses=usage.number, member=usage.member)
        self.normalize(at)
        return number

    def follow_extensions(self, at: datetime) -> None:
        """Move credits that came back to an extended grant to a new grant that lasts as long as the extension."""
        for grant in sorted(self.grants, key=Grant.burn_position):
            last, part = self.extension(grant), self.free()[grant.number]
            if not part or last.number == grant.number or last.is_expired(at):
                continue
            copy = replace(last, number=len(self.grants) + 1, amount=part, effective_at=at, parent=grant.number)
            self.grants.append(copy)
            if last.number in self.voided:
                self.voided[copy.number] = self.voided[last.number]
            self.post("adjustment", at, [(grant.number, -part), (copy.number, part)])

    def extension(self, grant: Grant) -> Grant:
        """Return the copy of a grant that lasts longest, or the grant itself if it was not extended or is voided."""
        copies = [grant]
        for other in self.grants:
            if other.parent in {copy.number for copy in copies} and other.source != "rollover":
                copies.append(other)
        if grant.number in self.voided or len(copies) == 1:
            return grant
        return max(copies[1:], key=lambda copy: (copy.expires_at or NEVER, copy.number))

    def reverse(self, request: Request, at: datetime, *, transaction: int, amount: int | None) -> Result:
        if not 0 < transaction <= len(self.transactions):
            raise RejectedError("transaction_not_found")

        def plan(state: Balance, at: datetime) -> Outcome:
            purchase, wanted = state.correctable(
                transaction, amount, "purchase", "not_reversible", "reversal_exceeds_purchase", "reversible"
            )
            taken = state.grants_paying(wanted, first=state.grants_from(purchase))
            parts = state.deltas(taken)
            if len(taken) < wanted:
                parts.append((None, len(taken) - wanted))
            return Outcome(state.post("reversal", at, parts, reverses=transaction, member=purchase.member))

        return self.execute(request, at, plan)

    def grants_from(self, purchase: Transaction) -> set[int]:
        """Return the grant of a purchase and the grants to which its credits were moved."""
        found = {self.grant_of(purchase.number)}
        for grant in self.grants:
            if grant.parent in found:
                found.add(grant.number)
        return found

    def grant_of(self, number: int) -> int:
        """Return the grant that a transaction created."""
        additions = ("allocation", "purchase", "promotion")
        grants = [
            grant
            for grant in self.grants
            if grant.source in additions and grant.parent is None and grant.number not in self.received
        ]
        numbers = [transaction.number for transaction in self.transactions if transaction.type in additions]
        return grants[numbers.index(number)].number

    def void(self, request: Request, at: datetime, *, grant: int) -> Result:
        if not 0 < grant <= len(self.grants):
            raise RejectedError("grant_not_found")

        def plan(state: Balance, at: datetime) -> Outcome:
            if grant in state.voided:
                return Outcome(changed=False)
            free = state.free()[grant]
            if state.grants[grant - 1].is_expired(at) or free + state.pinned()[grant] == 0:
                raise RejectedError("grant_not_voidable")
            recorded = state.post("void", at, [(grant, -free)]) if free else None
            state.voided[grant] = at
            state.record_change(at)
            return Outcome(recorded)

        return self.execute(request, at, plan)

    def extend(self, request: Request, at: datetime, *, grant: int, expires_at: datetime) -> Result:
        if not 0 < grant <= len(self.grants):
            raise RejectedError("grant_not_found")

        def plan(state: Balance, at: datetime) -> Outcome:
            old, free = state.grants[grant - 1], state.free()[grant]
            if old.expires_at is None or not state.spendable(old, at) or not free:
                raise RejectedError("grant_not_extendable")
            if expires_at <= at:
                raise invalid("expires_at", "in_past")
            if expires_at <= old.expires_at:
                raise invalid("expires_at", "out_of_range")
            rolls = old.roll_cap is not None and (old.roll_until is None or old.roll_until > expires_at)
            terms = {"roll_cap": old.roll_cap, "roll_until": old.roll_until} if rolls else {}
            created = state.grant(
                old.source, free, at, priority=old.priority, expires_at=expires_at, parent=grant, **terms
            )
            return Outcome(state.post("adjustment", at, [(grant, -free), (created.number, free)]))

        return self.execute(request, at, plan)
