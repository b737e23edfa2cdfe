"""What holds of every sequence of changes of tier, and of every way to be late with the months."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credits import verification
from fluxori.core import clock
from tests.support.factories.tiers import (
    make_capped_tier,
    make_expiring_tier,
    make_subscribed_balance,
    month,
    periods_of,
    run_allocation,
    spendable_grants,
)
from tests.support.times import NOON
from tiers import operations, queries
from tiers.domain.periods import period_at, period_start
from tiers.models import Tier

pytestmark = pytest.mark.django_db

PROMISED = {"explorer": 400, "growth": 2000, "pro": 7000, "fleeting": 100, "capped": 1000}
CODES = sorted(PROMISED)


@dataclass
class Plan:
    """The expected tier of a balance, its scheduled change, and the tiers that it held in each period."""

    tier: str
    touched: dict[int, set[str]] = field(default_factory=dict)
    scheduled: tuple[str, int] | None = None
    now: int = 0

    def reach(self, period: int) -> None:
        for each in range(self.now, period + 1):
            if self.scheduled and each >= self.scheduled[1]:
                self.tier, self.scheduled = self.scheduled[0], None
            self.touched.setdefault(each, set()).add(self.tier)
        self.now = period

    def change(self, tier: str, effective: str) -> None:
        if effective == "nextPeriod" and tier != self.tier:
            self.scheduled = (tier, self.now + 1)
        else:
            self.scheduled, self.tier = None, tier
            self.touched[self.now].add(tier)


CHANGES = st.tuples(
    st.just("change"), st.sampled_from(CODES), st.sampled_from(["difference", "difference", "none", "nextPeriod"])
)
OTHERS = st.sampled_from([("cancel",), ("allocate",), ("run",)])
STEPS = st.lists(
    st.tuples(
        # How long after the step before it: mostly so soon that several fall into one period; None is its end.
        st.sampled_from([timedelta(0), timedelta(0), timedelta(hours=7), timedelta(days=2), timedelta(days=4), None])
        | st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=80)),
        # Four times in five a change: up, down and up again is what might give too much.
        st.integers(0, 4).flatmap(lambda die: OTHERS if die == 0 else CHANGES),
    ),
    min_size=4,
    max_size=14,
)


def act(balance, plan: Plan, step, at: datetime) -> int:
    """Do one step to the balance and to the plan, and return the credits that proration gave."""
    verb, *arguments = step
    if verb == "change":
        tier, how = arguments
        effective, proration = ("nextPeriod", "none") if how == "nextPeriod" else ("now", how)
        result = operations.update_subscription_tier(
            owner=balance.owner, tier=tier, effective=effective, proration=proration, at=at
        )
        plan.change(tier, effective)
        return result.transaction.amount if result.transaction else 0
    if verb == "cancel" and plan.scheduled is None:
        with pytest.raises(operations.NoScheduledChangeError):
            operations.cancel_scheduled_change(owner=balance.owner, at=at)
    elif verb == "cancel":
        operations.cancel_scheduled_change(owner=balance.owner, at=at)
        plan.scheduled = None
    elif verb == "allocate":
        operations.add_monthly_allocation(owner=balance.owner, at=at)
    else:
        run_allocation([balance], at=at)
    return 0


class TestTierChanges:
    @given(first=st.sampled_from(CODES), steps=STEPS)
    def test_never_grant_a_period_more_than_its_highest_tier(self, first, steps):
        if not Tier.objects.filter(pk="capped").exists():
            make_expiring_tier(PROMISED["fleeting"])
            make_capped_tier(PROMISED["capped"], percent=50, months=2)
        balance, plan, at = make_subscribed_balance(tier=first), Plan(first), NOON
        prorated: Counter[int] = Counter()

        with clock.fixed(month(99)):
            for wait, step in steps:
                at = period_start(NOON, period_at(NOON, at) + 1) if wait is None else at + wait
                plan.reach(period_at(NOON, at))
                prorated[plan.now] += act(balance, plan, step, at)
                facts = queries.tier_facts(owner=balance.owner, at=at)
                assert facts.tier == plan.tier
                assert (facts.pending_tier and facts.pending_tier.tier) == (plan.scheduled and plan.scheduled[0])
            run_allocation([balance], at=at)

        allocated = dict(periods_of(balance))
        assert set(allocated) >= set(range(1, plan.now + 1))
        for period in range(plan.now + 1):
            highest = max(PROMISED[code] for code in plan.touched[period])
            initial = PROMISED[first] if period == 0 else 0
            assert initial + prorated[period] + allocated.get(period, 0) <= highest, (period, plan)
        assert verification.verify_balance(balance.pk).differences == ()


LAST = 6
CUTS = st.lists(
    st.timedeltas(min_value=timedelta(0), max_value=month(LAST) - NOON).map(lambda wait: NOON + wait)
    | st.integers(0, LAST).map(month),
    max_size=5,
).map(sorted)


SCHEDULED = month(2) - timedelta(days=3)


def change_next(balance, tier: str, at: datetime) -> None:
    operations.update_subscription_tier(owner=balance.owner, tier=tier, effective="nextPeriod", at=at)


class TestMissedPeriods:
    """Evaluated at once or split anywhere, they leave the same grants."""

    @given(
        policy=st.one_of(
            st.just({"rollover": "unlimited"}),
            st.just({"rollover": "none"}),
            st.builds(
                lambda cap, percent, months: {
                    "rollover": "capped",
                    "rollover_cap_credits": cap,
                    "rollover_cap_percent": percent,
                    "rollover_months": months,
                },
                st.integers(1, 350),
                st.none() | st.integers(1, 350),
                st.none() | st.integers(1, 4),
            ),
        ),
        scheduled=st.none() | st.just("growth"),
        cuts=CUTS,
        end=st.integers(1, LAST).map(month) | st.timedeltas(timedelta(0), month(LAST) - NOON).map(lambda w: NOON + w),
    )
    def test_lead_to_the_same_state_in_one_run_or_several(self, policy, scheduled, cuts, end):
        nothing = dict.fromkeys(("rollover_cap_credits", "rollover_cap_percent", "rollover_months"))
        facts = {"name": "Drawn", "monthly_credits": 100, "price_min": 0, "price_max": 0, **nothing, **policy}
        Tier.objects.update_or_create(code="drawn", defaults=facts)
        whole, split = make_subscribed_balance(tier="drawn"), make_subscribed_balance(tier="drawn")

        def evaluate(balance, *instants):
            acts: list[tuple[datetime, Callable[[datetime], object]]]
            acts = [(at, lambda at: run_allocation([balance], at=at)) for at in instants]
            if scheduled and end > SCHEDULED:
                acts.append((SCHEDULED, partial(change_next, balance, scheduled)))
            for at, do in sorted(acts, key=lambda act: act[0]):
                do(at)

        evaluate(whole, end)
        evaluate(split, *(cut for cut in cuts if cut < end), end)

        assert Counter(spendable_grants(whole, end)) == Counter(spendable_grants(split, end))
        for balance in (whole, split):
            assert verification.verify_balance(balance.pk).differences == ()
