from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from credits.domain import burn_order
from tests.support.times import DAY, NOON

HOUR = timedelta(hours=1)


@dataclass
class Coins:
    """As much of a grant as the burn order looks at."""

    source: str = "allocation"
    remaining: int = 10
    priority: int = 50
    effective_at: datetime = NOON
    expires_at: datetime | None = None
    id: UUID = field(default_factory=uuid4)


coins = st.builds(
    Coins,
    source=st.sampled_from(["allocation", "purchase", "promotion", "adjustment", "rollover"]),
    remaining=st.integers(0, 10),
    priority=st.sampled_from([0, 40, 50, 100]),
    effective_at=st.sampled_from([NOON, NOON + HOUR]),
    expires_at=st.sampled_from([None, NOON + DAY, NOON + 2 * DAY]),
    id=st.uuids(),
)
purses = st.lists(coins, max_size=8, unique_by=lambda grant: grant.id)


class TestBurnOrder:
    def test_puts_the_lower_priority_number_first(self):
        urgent, patient = Coins(priority=49, expires_at=None), Coins(priority=50, expires_at=NOON + DAY)

        assert burn_order.in_burn_order([patient, urgent]) == [urgent, patient]

    def test_then_what_expires_first_and_never_last(self):
        sooner, later, never = Coins(expires_at=NOON + DAY), Coins(expires_at=NOON + 2 * DAY), Coins(expires_at=None)

        assert burn_order.in_burn_order([never, later, sooner]) == [sooner, later, never]

    def test_keeps_what_was_bought_for_last(self):
        bought, given_away = Coins("purchase", effective_at=NOON), Coins("promotion", effective_at=NOON + HOUR)

        assert burn_order.in_burn_order([bought, given_away]) == [given_away, bought]

    def test_does_not_tell_the_other_sources_apart(self):
        kinds = ["allocation", "promotion", "adjustment", "rollover"]

        assert len({burn_order.position(Coins(kind, id=UUID(int=0))) for kind in kinds}) == 1

    def test_then_the_older(self):
        older, newer = Coins(effective_at=NOON), Coins(effective_at=NOON + HOUR)

        assert burn_order.in_burn_order([newer, older]) == [older, newer]

    def test_then_the_smaller_id(self):
        smaller, larger = Coins(id=UUID(int=1)), Coins(id=UUID(int=2))

        assert burn_order.in_burn_order([larger, smaller]) == [smaller, larger]

    @given(purses, st.randoms(use_true_random=False))
    def test_is_total_so_that_the_order_of_asking_never_matters(self, purse, chance):
        shuffled = list(purse)
        chance.shuffle(shuffled)

        ordered = burn_order.in_burn_order(shuffled)

        assert ordered == burn_order.in_burn_order(purse)
        assert all(burn_order.position(one) < burn_order.position(next_) for one, next_ in pairwise(ordered))


class TestPlanDraws:
    def test_empties_one_grant_before_it_touches_the_next(self):
        first, second, third = Coins(priority=1), Coins(priority=2), Coins(priority=3)

        assert burn_order.plan_deltas(15, [third, first, second]) == [(first, 10), (second, 5)]

    def test_passes_over_grants_that_are_empty(self):
        spent, full = Coins(priority=0, remaining=0), Coins()

        assert burn_order.plan_deltas(4, [spent, full]) == [(full, 4)]

    def test_gives_all_there_is_where_that_is_not_enough(self):
        only = Coins(remaining=3)

        assert burn_order.plan_deltas(4, [only]) == [(only, 3)]

    @given(purses, st.integers(0, 100))
    def test_adds_up_and_never_overdraws(self, purse, amount):
        draws = burn_order.plan_deltas(amount, purse)

        assert sum(taken for _, taken in draws) == min(amount, sum(grant.remaining for grant in purse))
        assert all(0 < taken <= grant.remaining for grant, taken in draws)
        assert all(taken == grant.remaining for grant, taken in draws[:-1])
        assert [grant for grant, _ in draws] == burn_order.in_burn_order(grant for grant, _ in draws)

    @given(purses, st.integers(0, 40), st.integers(0, 40))
    def test_takes_the_same_from_each_in_two_goes_as_in_one(self, purse, first, second):
        at_once = {grant.id: taken for grant, taken in burn_order.plan_deltas(first + second, purse)}

        in_two = dict.fromkeys((grant.id for grant in purse), 0)
        for amount in (first, second):
            for grant, taken in burn_order.plan_deltas(amount, purse):
                grant.remaining -= taken
                in_two[grant.id] += taken

        assert {key: taken for key, taken in in_two.items() if taken} == at_once
