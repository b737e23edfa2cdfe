from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from credits.domain.due_events import apply_due_events
from credits.domain.forecasting import next_loss, simulate_burn
from fluxori.core.ids import uuid7
from tests.support.balance_states import add_grant, empty_state
from tests.support.times import DAY, HOUR, NOON

YEAR = 366 * DAY
TEN_DAYS = 10 * DAY


@dataclass
class Coins:
    """A grant, as far as looking ahead sees it."""

    remaining: int
    expires_at: datetime | None = None
    source: str = "promotion"
    priority: int = 50
    effective_at: datetime = NOON
    roll_cap: int | None = None
    roll_until: datetime | None = None
    id: UUID = field(default_factory=uuid7)


@dataclass
class UpcomingAllocation:
    at: datetime
    amount: int
    expires_at: datetime | None = None
    roll_cap: int | None = None
    roll_until: datetime | None = None


def ahead(grants, spent=10, window=TEN_DAYS, until=NOON + YEAR, **more):
    """Look ahead from noon: one credit a day by default."""
    return simulate_burn(grants, at=NOON, until=until, spent=spent, window=window, **more)


def lost(outlook):
    return [(unused.grant_id, unused.amount, unused.at) for unused in outlook.unused]


class TestRunsOutAt:
    def test_is_the_instant_at_which_everything_is_burned(self):
        outlook = ahead([Coins(7), Coins(3)])

        assert outlook.runs_out_at == NOON + 10 * DAY
        assert (outlook.burned, outlook.lost, outlook.left) == (10, 0, 0)

    def test_is_now_without_credits(self):
        assert ahead([]).runs_out_at == NOON
        assert ahead([Coins(0)]).runs_out_at == NOON

    def test_is_the_first_instant_at_which_nothing_is_left(self):
        # Three credits in seven days last 1 day, 3 hours and a repeating fraction for one half.
        outlook = simulate_burn([Coins(1)], at=NOON, until=NOON + YEAR, spent=3, window=7 * DAY)

        assert outlook.runs_out_at == NOON + 7 * DAY / 3

    def test_is_none_at_the_end_of_the_simulated_time(self):
        assert ahead([Coins(20)], until=NOON + 20 * DAY).runs_out_at is None
        assert ahead([Coins(20)], until=NOON + 20 * DAY + HOUR).runs_out_at == NOON + 20 * DAY

    def test_is_none_at_a_burn_rate_of_zero(self):
        outlook = ahead([Coins(20)], spent=0)

        assert (outlook.runs_out_at, outlook.left) == (None, 20)

    def test_is_the_expiry_that_leaves_nothing(self):
        assert ahead([Coins(20, NOON + 5 * DAY)]).runs_out_at == NOON + 5 * DAY


class TestUnusedCredits:
    def test_contain_what_is_not_burned_before_the_expiry(self):
        fleeting, lasting = Coins(20, NOON + 5 * DAY), Coins(30)

        outlook = ahead([lasting, fleeting])

        assert lost(outlook) == [(fleeting.id, 15, NOON + 5 * DAY)]
        assert outlook.runs_out_at == NOON + 35 * DAY

    def test_exclude_what_is_burned_before_the_expiry(self):
        assert lost(ahead([Coins(5, NOON + 5 * DAY), Coins(30)])) == []

    def test_follow_the_burn_order_even_if_more_credits_expire(self):
        preferred, fleeting = Coins(10, priority=1), Coins(8, NOON + 15 * DAY)

        assert lost(ahead([preferred, fleeting])) == [(fleeting.id, 3, NOON + 15 * DAY)]

    def test_contain_fractions_of_credits(self):
        fleeting = Coins(20, NOON + 5 * DAY)

        outlook = ahead([fleeting, Coins(100)], spent=1, window=7 * DAY)

        assert lost(outlook) == [(fleeting.id, 20 - Fraction(5, 7), NOON + 5 * DAY)]

    def test_contain_rolled_over_credits_when_these_expire(self):
        rolling = Coins(50, NOON + 5 * DAY, "allocation", roll_cap=30, roll_until=NOON + 10 * DAY)

        outlook = ahead([rolling, Coins(100)])

        assert lost(outlook) == [(rolling.id, 15, NOON + 5 * DAY), (rolling.id, 25, NOON + 10 * DAY)]

    def test_contain_the_oldest_rolled_over_credits_beyond_the_cap(self):
        older = Coins(25, NOON + 20 * DAY, "rollover", priority=40, effective_at=NOON - DAY)
        rolling = Coins(30, NOON + 5 * DAY, "allocation", priority=30, roll_cap=30)

        outlook = ahead([older, rolling])

        # 5 of 30 burned, 25 roll over, and the cap of 30 leaves room for 5 of the older 25.
        assert lost(outlook) == [(older.id, 20, NOON + 5 * DAY)]


class TestNextLoss:
    def test_is_none_if_nothing_expires(self):
        assert next_loss([Coins(10), Coins(5, source="rollover")]) is None

    def test_sums_what_expires_at_the_first_instant(self):
        grants = [Coins(10, NOON + DAY), Coins(5, NOON + DAY), Coins(7, NOON + 2 * DAY), Coins(1)]

        assert next_loss(grants) == (15, NOON + DAY)

    def test_is_none_if_everything_rolls_over(self):
        assert next_loss([Coins(10, NOON + DAY, roll_cap=10)]) is None

    def test_contains_what_the_cap_removes_from_earlier_rollovers(self):
        grants = [Coins(300, source="rollover"), Coins(400, NOON + DAY, roll_cap=500)]

        assert next_loss(grants) == (200, NOON + DAY)

    def test_contains_what_grants_lose_that_share_one_cap(self):
        grants = [Coins(100, NOON + DAY, roll_cap=50), Coins(60, NOON + DAY, roll_cap=50)]

        assert next_loss(grants) == (110, NOON + DAY)

    def test_follows_rolled_over_credits_to_their_end(self):
        grants = [Coins(10, NOON + DAY, roll_cap=10, roll_until=NOON + 3 * DAY), Coins(5, NOON + 4 * DAY)]

        assert next_loss(grants) == (10, NOON + 3 * DAY)


class TestArrivals:
    def test_delay_the_run_out(self):
        outlook = ahead([Coins(10)], arrivals=[UpcomingAllocation(NOON + 5 * DAY, 20)])

        assert outlook.runs_out_at == NOON + 30 * DAY

    def test_after_the_run_out_have_no_effect(self):
        assert ahead([Coins(10)], arrivals=[UpcomingAllocation(NOON + 11 * DAY, 20)]).runs_out_at == NOON + 10 * DAY

    def test_at_the_run_out_instant_prevent_it(self):
        assert ahead([Coins(10)], arrivals=[UpcomingAllocation(NOON + 10 * DAY, 20)]).runs_out_at == NOON + 30 * DAY

    def test_in_the_past_arrive_at_once(self):
        assert ahead([], arrivals=[UpcomingAllocation(NOON - DAY, 20)]).runs_out_at == NOON + 20 * DAY

    def test_that_have_expired_do_not_arrive(self):
        assert ahead([], arrivals=[UpcomingAllocation(NOON - 2 * DAY, 20, NOON)]).runs_out_at == NOON

    def test_that_roll_over_last_longer(self):
        rolling = UpcomingAllocation(NOON + DAY, 20, NOON + 10 * DAY, roll_cap=5)

        outlook = ahead([Coins(1)], arrivals=[rolling])

        assert (outlook.runs_out_at, outlook.lost) == (NOON + 15 * DAY, 6)

    def test_that_expire_are_not_unused_credits_of_existing_grants(self):
        bought = Coins(10, source="purchase")

        outlook = ahead([bought], arrivals=[UpcomingAllocation(NOON + 5 * DAY, 20, NOON + 10 * DAY)])

        assert (outlook.runs_out_at, outlook.unused, outlook.lost) == (NOON + 15 * DAY, (), 15)

    def test_may_be_burned_before_existing_grants(self):
        fleeting = Coins(10, NOON + 12 * DAY)

        outlook = ahead([fleeting], arrivals=[UpcomingAllocation(NOON + 2 * DAY, 9, NOON + 11 * DAY)])

        assert lost(outlook) == [(fleeting.id, 7, NOON + 12 * DAY)]

    def test_that_cover_the_burn_rate_prevent_the_run_out(self):
        months = [UpcomingAllocation(NOON + n * 30 * DAY, 30) for n in range(1, 13)]

        assert ahead([Coins(30)], arrivals=months).runs_out_at is None


moments = st.integers(1, 60 * 24).map(lambda hours: NOON + hours * HOUR)
purses = st.lists(
    st.builds(
        Coins,
        remaining=st.integers(0, 200),
        expires_at=st.none() | moments,
        source=st.sampled_from(["allocation", "purchase", "promotion"]),
        priority=st.integers(40, 60),
    ),
    max_size=6,
)
rolling = st.lists(
    st.builds(
        Coins,
        remaining=st.integers(0, 200),
        expires_at=moments,
        roll_cap=st.none() | st.integers(0, 100),
        roll_until=st.none() | moments.map(lambda at: at + 60 * DAY),
    ),
    max_size=4,
)
months = st.lists(
    st.builds(UpcomingAllocation, at=moments, amount=st.integers(1, 200), expires_at=st.none()), max_size=4
)
paces = st.integers(0, 300)


class TestSimulateBurn:
    @given(purses, rolling, months, paces)
    def test_burned_lost_and_left_add_up(self, purse, rolling, months, spent):
        outlook = ahead([*purse, *rolling], spent, arrivals=months)

        end = outlook.runs_out_at or NOON + YEAR
        arrived = sum(coming.amount for coming in months if coming.at <= end)
        there = sum(grant.remaining for grant in [*purse, *rolling])
        assert outlook.burned + outlook.lost + outlook.left == there + arrived
        assert min(outlook.burned, outlook.lost, outlook.left) >= 0
        assert all(unused.amount > 0 and NOON < unused.at <= end for unused in outlook.unused)
        assert sum(unused.amount for unused in outlook.unused) <= outlook.lost

    @given(purses, paces)
    def test_burns_at_the_rate_until_nothing_is_left(self, purse, spent):
        outlook = ahead(purse, spent)

        end = outlook.runs_out_at or NOON + YEAR
        due = Fraction(spent, TEN_DAYS // timedelta(microseconds=1)) * ((end - NOON) // timedelta(microseconds=1))
        assert outlook.burned <= due
        assert due - outlook.burned < Fraction(spent, 10**9) + Fraction(1, 10**9)
        assert (outlook.left == 0) == (outlook.runs_out_at is not None)

    @given(purses, months, paces, paces)
    def test_higher_rate_never_lasts_longer(self, purse, months, one, other):
        slow, fast = (ahead(purse, pace, arrivals=months) for pace in sorted((one, other)))

        assert (fast.runs_out_at or NOON + YEAR) <= (slow.runs_out_at or NOON + YEAR)

    @given(purses, months, paces)
    def test_arrivals_never_shorten_it(self, purse, months, spent):
        alone, helped = ahead(purse, spent), ahead(purse, spent, arrivals=months)

        assert (alone.runs_out_at or NOON + YEAR) <= (helped.runs_out_at or NOON + YEAR)

    @given(purses, paces)
    def test_unused_credits_never_exceed_the_grant(self, purse, spent):
        grants_from = {grant.id: grant for grant in purse}

        for unused in ahead(purse, spent).unused:
            assert unused.amount <= grants_from[unused.grant_id].remaining
            assert unused.at == grants_from[unused.grant_id].expires_at

    @given(purses, paces, st.randoms(use_true_random=False))
    def test_order_of_the_arguments_does_not_matter(self, purse, spent, chance):
        shuffled = list(purse)
        chance.shuffle(shuffled)

        assert ahead(shuffled, spent) == ahead(purse, spent)

    @given(purses, rolling)
    def test_expires_and_rolls_over_like_due_events(self, purse, rolling):
        book = empty_state()
        for coins in [*purse, *rolling]:
            if coins.remaining:
                terms = {"roll_cap": coins.roll_cap, "roll_until": coins.roll_until} if coins.roll_cap else {}
                add_grant(
                    book, coins.remaining, coins.expires_at, source=coins.source, priority=coins.priority, **terms
                )

        outlook = ahead(book.spendable(), spent=0)
        apply_due_events(book, NOON + YEAR - timedelta(microseconds=1))

        expired: defaultdict[datetime, Fraction] = defaultdict(Fraction)
        for recorded in book.transactions:
            if recorded.type == "expiry":
                expired[recorded.timestamp] -= recorded.amount
        foreseen: defaultdict[datetime, Fraction] = defaultdict(Fraction)
        for unused in outlook.unused:
            foreseen[unused.at] += unused.amount
        assert foreseen == expired
        assert outlook.left == book.available

    @given(purses, rolling)
    def test_first_loss_is_what_due_events_expire_first(self, purse, rolling):
        state = empty_state()
        for coins in [*purse, *rolling]:
            if coins.remaining:
                terms = {"roll_cap": coins.roll_cap, "roll_until": coins.roll_until} if coins.roll_cap else {}
                add_grant(
                    state, coins.remaining, coins.expires_at, source=coins.source, priority=coins.priority, **terms
                )
        first = next_loss(state.spendable())

        apply_due_events(state, NOON + 99 * YEAR)

        expired: defaultdict[datetime, int] = defaultdict(int)
        for recorded in state.transactions:
            if recorded.type == "expiry":
                expired[recorded.timestamp] -= recorded.amount
        assert first == ((expired[min(expired)], min(expired)) if expired else None)

    def test_does_not_change_the_grants(self):
        grants = [Coins(20, NOON + 5 * DAY), Coins(30)]

        ahead(grants)

        assert [grant.remaining for grant in grants] == [20, 30]
