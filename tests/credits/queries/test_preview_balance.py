"""What a balance will be at a future instant, compared with what happens when that instant arrives."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credits import operations, queries
from fluxori.core import clock
from tests.credits.operations.verbs import first_transaction, reverse_purchase
from tests.support.factories.credits import deduct, hold, make_balance, make_user
from tests.support.factories.tiers import (
    change_tier,
    make_capped_tier,
    make_expiring_tier,
    make_subscribed_balance,
    month,
    run_allocation,
)
from tests.support.operations import field_errors, unchanged
from tests.support.times import DAY, HOUR, NOON
from tiers.models import Tier

MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


def preview(balance, at, *, now=NOON, **arguments):
    with clock.fixed(now), unchanged():
        return amounts(queries.preview_balance(owner=balance.owner, at=at, **arguments))


def actual(balance, at, *, allocate=False):
    """Let the time come: run the monthly allocation at the start of each period, and read the balance at ``at``."""
    for k in range(1, 30):
        if allocate and month(k) <= at:
            with clock.fixed(month(k)):
                run_allocation([balance], at=month(k))
    with clock.fixed(at):
        return amounts(queries.get_balance(owner=balance.owner))


def amounts(balance):
    return (balance.balance, balance.held, balance.available, balance.debt, balance.next_expiry, balance.by_source)


class TestPreviewBalance:
    @pytest.mark.parametrize("at", [NOON, NOON + HOUR, NOON + DAY - MICROSECOND, NOON + DAY, NOON + 99 * DAY])
    def test_applies_what_will_be_due(self, at):
        balance = make_balance(grants=[(20, DAY), (50, None), (30, 9 * DAY)])
        deduct(balance, 5)
        hold(balance, 40, expires_in=HOUR)

        assert preview(balance, at) == actual(balance, at)

    def test_shows_debt_that_a_hold_repays_when_it_lapses(self):
        balance = make_balance(type="purchase")
        hold(balance, 60, expires_in=HOUR)
        reverse_purchase(first_transaction(balance))

        assert preview(balance, NOON + HOUR)[:4] == (0, 0, 0, 0)

    def test_leaves_out_the_allocations_by_default(self):
        balance = make_subscribed_balance()

        assert preview(balance, month(3))[2] == 400
        assert preview(balance, month(3), with_allocations=True)[2] == 1600

    @pytest.mark.parametrize("offset", [-MICROSECOND, timedelta(0), MICROSECOND])
    def test_an_allocation_has_arrived_from_the_start_of_its_period(self, offset):
        balance = make_subscribed_balance()

        assert preview(balance, month(1) + offset, with_allocations=True)[2] == (400 if offset < timedelta(0) else 800)

    def test_an_overdue_allocation_arrives_now(self):
        balance = make_subscribed_balance()

        assert preview(balance, month(1) + 2 * DAY, now=month(1) + DAY, with_allocations=True)[2] == 800

    def test_follows_a_scheduled_change_of_tier(self):
        balance = make_subscribed_balance()
        change_tier(balance, "growth", at=NOON, effective="nextPeriod")

        assert preview(balance, month(2), with_allocations=True)[2] == 400 + 2 * 2000

    @settings(derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        tier=st.sampled_from(["capped", "fleeting", "growth"]),
        spent=st.integers(0, 100),
        expires=st.none() | st.integers(1, 100).map(lambda days: days * DAY),
        months=st.integers(0, 4),
        offset=st.sampled_from([timedelta(0), MICROSECOND, 9 * DAY]),
        change=st.none() | st.sampled_from(["explorer", "pro"]),
    )
    def test_is_what_happens_when_the_time_comes(self, tier, spent, expires, months, offset, change):
        if not Tier.objects.filter(pk="capped").exists():
            make_expiring_tier(100)
            make_capped_tier(100, cap=150, months=2)
        balance = make_subscribed_balance(tier=tier)
        make_balance(balance.owner, [(30, expires)])
        if change:
            change_tier(balance, change, at=NOON, effective="nextPeriod")
        if spent:
            deduct(balance, spent)
        at = month(months) + offset

        assert preview(balance, at, with_allocations=True) == actual(balance, at, allocate=True)


class TestPreviewBalanceErrors:
    def test_rejects_the_past(self):
        balance = make_balance()

        with clock.fixed(NOON), pytest.raises(operations.InvalidArgumentError) as error:
            queries.preview_balance(owner=balance.owner, at=NOON - MICROSECOND)

        assert field_errors(error) == [("at", "in_past")]

    def test_rejects_allocations_beyond_ten_years(self):
        balance = make_subscribed_balance()

        with clock.fixed(NOON), pytest.raises(operations.InvalidArgumentError) as error:
            queries.preview_balance(owner=balance.owner, at=NOON + 4000 * DAY, with_allocations=True)

        assert field_errors(error) == [("at", "out_of_range")]
        assert preview(balance, NOON + 4000 * DAY)[2] == 400

    def test_rejects_an_instant_without_a_time_zone(self):
        with pytest.raises(operations.InvalidArgumentError) as error:
            queries.preview_balance(owner=make_user(), at=NOON.replace(tzinfo=None))

        assert field_errors(error) == [("at", "wrong_type")]

    def test_rejects_an_owner_without_a_balance(self):
        with clock.fixed(NOON), pytest.raises(operations.BalanceNotFoundError):
            queries.preview_balance(owner=make_user(), at=NOON + DAY)
