"""Limits against a model in plain Python that keeps every usage, hold and refund and adds them up anew each time."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from credits import operations, queries
from credits.verification import verify_balance
from tests.factories.credits import deduct, funded
from tests.factories.identity import MembershipFactory, OrganizationFactory
from tests.times import HOUR, NOON

STEPS = 80
STARTS = {"day": "%Y-%m-%d", "month": "%Y-%m"}

pytestmark = pytest.mark.django_db


@dataclass
class Use:
    """Something that counts: a usage less its refunds, or an open hold until it lapses."""

    member: UUID | None
    at: datetime
    amount: int
    made: Any
    lapses_at: datetime | None = None


@dataclass
class Model:
    now: datetime = NOON
    uses: list[Use] = field(default_factory=list)
    limits: dict[tuple[UUID | None, str], tuple[UUID, int]] = field(default_factory=dict)

    def pass_time(self, by: timedelta) -> None:
        self.now += by
        self.uses = [use for use in self.uses if use.lapses_at is None or use.lapses_at > self.now]

    def used(self, member: UUID | None, period: str) -> int:
        spelled = STARTS[period]
        return sum(
            use.amount
            for use in self.uses
            if member in (None, use.member) and f"{use.at:{spelled}}" == f"{self.now:{spelled}}"
        )

    def allows(self, member: UUID | None, amount: int, gives_way: Use | None = None) -> bool:
        kept, self.uses = self.uses, [use for use in self.uses if use is not gives_way]
        fits = all(
            self.used(whose, period) + amount <= most
            for (whose, period), (_, most) in self.limits.items()
            if whose in (None, member)
        )
        self.uses = kept
        return fits

    def holds(self) -> list[Use]:
        return [use for use in self.uses if use.lapses_at is not None]

    def usages(self) -> list[Use]:
        return [use for use in self.uses if use.lapses_at is None and use.amount > 0]


class Life:
    """One pool, three who spend from it, and the model, step by step."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        organization = OrganizationFactory.create()
        self.members = [MembershipFactory.create(organization=organization).user.pk for _ in range(2)]
        self.balance = funded(organization, grants=[(10**9, None)])
        self.model = Model()
        self.refused = 0

    def step(self) -> None:
        self.model.pass_time(self.random.choice([0, 0, 0, 0, 0, 0, 1, 5, 30]) * HOUR)
        often, seldom = (
            [self.spend, self.place, self.set, self.capture],
            [self.release, self.refund, self.remove, self.sweep],
        )
        self.random.choice([*often, *often, *often, *seldom])()
        self.compare()

    def someone(self) -> UUID | None:
        return self.random.choice([*self.members, None])

    def tried(self, allowed: bool, act: Any) -> Any:
        if allowed:
            return act()
        self.refused += 1
        with pytest.raises(operations.SpendingLimitReachedError):
            act()
        return None

    def spend(self) -> None:
        member, amount, now = self.someone(), self.random.randint(1, 60), self.model.now
        allowed = self.model.allows(member, amount)
        made = self.tried(allowed, lambda: deduct(self.balance, amount, member=member, at=now))
        if made:
            self.model.uses.append(Use(member, now, amount, made))

    def place(self) -> None:
        member, amount, now = self.someone(), self.random.randint(1, 60), self.model.now
        lasts = timedelta(hours=self.random.choice([1, 20]))

        def act():
            return operations.place_hold(
                owner=self.balance.owner,
                amount=amount,
                description="Work",
                member=member,
                expires_in_seconds=int(lasts.total_seconds()),
                at=now,
            )

        made = self.tried(self.model.allows(member, amount), act)
        if made:
            self.model.uses.append(Use(member, now, amount, made, now + lasts))

    def capture(self) -> None:
        if not self.model.holds():
            return
        use, now = self.random.choice(self.model.holds()), self.model.now
        amount = self.random.choice([use.amount, 1, use.amount + self.random.randint(1, 30)])
        allowed = amount <= use.amount or self.model.allows(use.member, amount, gives_way=use)
        made = self.tried(allowed, lambda: operations.capture_hold(hold_id=use.made.pk, amount=amount, at=now))
        if made:
            self.model.uses.remove(use)
            self.model.uses.append(Use(use.member, now, amount, made.transaction))

    def release(self) -> None:
        if self.model.holds():
            use = self.random.choice(self.model.holds())
            operations.release_hold(hold_id=use.made.pk, at=self.model.now)
            self.model.uses.remove(use)

    def refund(self) -> None:
        if self.model.usages():
            use = self.random.choice(self.model.usages())
            amount = self.random.randint(1, use.amount)
            operations.refund_usage(transaction_id=use.made.pk, amount=amount, reason="It failed", at=self.model.now)
            use.amount -= amount

    def set(self) -> None:
        member, period, amount = self.someone(), self.random.choice(["day", "month"]), self.random.randint(0, 200)
        done = operations.set_limit(
            owner=self.balance.owner, member=member, period=period, amount=amount, at=self.model.now
        )
        self.model.limits[member, period] = (done.limit.id, amount)

    def remove(self) -> None:
        if self.model.limits:
            kind = self.random.choice(sorted(self.model.limits, key=str))
            limit_id, _ = self.model.limits.pop(kind)
            operations.remove_limit(limit_id=limit_id, at=self.model.now)

    def sweep(self) -> None:
        operations.expire_credits(balance_ids=[self.balance.pk], at=self.model.now)

    def compare(self) -> None:
        found = queries.standings(queries.get_limits(owner=self.balance.owner), at=self.model.now)
        assert {(limit.member_id, limit.period): (limit.id, limit.amount, limit.used) for limit in found} == {
            kind: (limit_id, amount, self.model.used(*kind)) for kind, (limit_id, amount) in self.model.limits.items()
        }
        assert verify_balance(self.balance.pk).differences == ()


class TestLimitsAgainstAModel:
    @pytest.mark.parametrize("seed", range(3))
    def test_count_and_refuse_as_the_model_does(self, seed):
        life = Life(seed)

        for _ in range(STEPS):
            life.step()

        assert life.refused > STEPS / 20
