from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from credits.domain import burn_order
from tests.support.times import DAY, HOUR, NOON


@dataclass
class FakeGrant:
    """The attributes of a grant that the burn order depends on."""

    source: str = "allocation"
    remaining: int = 10
    priority: int = 50
    effective_at: datetime = NOON
    expires_at: datetime | None = None
    id: UUID = field(default_factory=uuid4)


grants = st.builds(
    FakeGrant,
    source=st.sampled_from(["allocation", "purchase", "promotion", "adjustment", "rollover"]),
    remaining=st.integers(0, 10),
    priority=st.sampled_from([0, 40, 50, 100]),
    effective_at=st.sampled_from([NOON, NOON + HOUR]),
    expires_at=st.sampled_from([None, NOON + DAY, NOON + 2 * DAY]),
    id=st.uuids(),
)
grant_lists = st.lists(grants, max_size=8, unique_by=lambda grant: grant.id)


class TestBurnOrder:
    def test_the_lower_priority_number_is_first(self):
        preferred, other = FakeGrant(priority=49, expires_at=None), FakeGrant(priority=50, expires_at=NOON + DAY)

        assert burn_order.in_burn_order([other, preferred]) == [preferred, other]

    def test_at_one_priority_the_earlier_expiry_is_first_and_never_is_last(self):
        sooner, later, never = (
            FakeGrant(expires_at=NOON + DAY),
            FakeGrant(expires_at=NOON + 2 * DAY),
            FakeGrant(expires_at=None),
        )

        assert burn_order.in_burn_order([never, later, sooner]) == [sooner, later, never]

    def test_at_one_expiry_a_purchase_is_after_every_other_source(self):
        purchase, promotion = FakeGrant("purchase", effective_at=NOON), FakeGrant("promotion", effective_at=NOON + HOUR)

        assert burn_order.in_burn_order([purchase, promotion]) == [promotion, purchase]

    def test_sources_other_than_purchase_have_the_same_position(self):
        kinds = ["allocation", "promotion", "adjustment", "rollover"]

        assert len({burn_order.position(FakeGrant(kind, id=UUID(int=0))) for kind in kinds}) == 1

    def test_then_the_earlier_effective_instant_is_first(self):
        older, newer = FakeGrant(effective_at=NOON), FakeGrant(effective_at=NOON + HOUR)

        assert burn_order.in_burn_order([newer, older]) == [older, newer]

    def test_then_the_smaller_id_is_first(self):
        smaller, larger = FakeGrant(id=UUID(int=1)), FakeGrant(id=UUID(int=2))

        assert burn_order.in_burn_order([larger, smaller]) == [smaller, larger]

    @given(grant_lists, st.randoms(use_true_random=False))
    def test_the_order_is_total_and_does_not_depend_on_the_input_order(self, wallet, random):
        shuffled = list(wallet)
        random.shuffle(shuffled)

        ordered = burn_order.in_burn_order(shuffled)

        assert ordered == burn_order.in_burn_order(wallet)
        assert all(burn_order.position(one) < burn_order.position(next_) for one, next_ in pairwise(ordered))


class TestPlanDeltas:
    def test_a_grant_is_emptied_before_the_next_pays(self):
        first, second, third = FakeGrant(priority=1), FakeGrant(priority=2), FakeGrant(priority=3)

        assert burn_order.plan_payments(15, [third, first, second]) == [(first, 10), (second, 5)]

    def test_empty_walletare_skipped(self):
        spent, full = FakeGrant(priority=0, remaining=0), FakeGrant()

        assert burn_order.plan_payments(4, [spent, full]) == [(full, 4)]

    def test_returns_all_credits_if_they_do_not_cover_the_amount(self):
        only = FakeGrant(remaining=3)

        assert burn_order.plan_payments(4, [only]) == [(only, 3)]

    @given(grant_lists, st.integers(0, 100))
    def test_the_deltas_add_up_and_never_exceed_a_grant(self, wallet, amount):
        deltas = burn_order.plan_payments(amount, wallet)

        assert sum(taken for _, taken in deltas) == min(amount, sum(grant.remaining for grant in wallet))
        assert all(0 < taken <= grant.remaining for grant, taken in deltas)
        assert all(taken == grant.remaining for grant, taken in deltas[:-1])
        assert [grant for grant, _ in deltas] == burn_order.in_burn_order(grant for grant, _ in deltas)

    @given(grant_lists, st.integers(0, 40), st.integers(0, 40))
    def test_two_payments_take_the_same_from_each_grant_as_one(self, wallet, first, second):
        at_once = {grant.id: taken for grant, taken in burn_order.plan_payments(first + second, wallet)}

        in_two = dict.fromkeys((grant.id for grant in wallet), 0)
        for amount in (first, second):
            for grant, taken in burn_order.plan_payments(amount, wallet):
                grant.remaining -= taken
                in_two[grant.id] += taken

        assert {key: taken for key, taken in in_two.items() if taken} == at_once
