from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from tiers.domain.entitlement import PeriodEntitlement, rollover_cap

JANUARY, FEBRUARY, MARCH, APRIL = (datetime(2025, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4))


def make_tier(rollover: str = "unlimited", monthly_credits: int = 100, **caps: int) -> Any:
    terms: dict[str, Any] = {"rollover_cap_credits": None, "rollover_cap_percent": None, "rollover_months": None}
    return SimpleNamespace(
        code="any", name="Any", monthly_credits=monthly_credits, rollover=rollover, **{**terms, **caps}
    )


class TestRolloverCap:
    @pytest.mark.parametrize(
        ("caps", "expected"),
        [
            ({}, None),
            ({"rollover_cap_credits": 500}, 500),
            ({"rollover_cap_percent": 50}, 499),
            ({"rollover_cap_percent": 50, "rollover_cap_credits": 500}, 499),
            ({"rollover_cap_percent": 50, "rollover_cap_credits": 100}, 100),
        ],
    )
    def test_is_the_smaller_cap_rounded_down(self, caps, expected):
        assert rollover_cap(make_tier("capped", 999, **caps)) == expected


class TestPeriodEntitlement:
    def test_unlimited_never_expires(self):
        entitlement = PeriodEntitlement.of(JANUARY, make_tier("unlimited"), 0)

        assert (entitlement.starts_at, entitlement.ends_at) == (JANUARY, FEBRUARY)
        assert (entitlement.expires_at, entitlement.roll_cap, entitlement.roll_until) == (None, None, None)

    def test_none_expires_at_the_end_of_the_period(self):
        entitlement = PeriodEntitlement.of(JANUARY, make_tier("none"), 0)

        assert (entitlement.expires_at, entitlement.roll_cap) == (FEBRUARY, None)

    def test_capped_rolls_over_for_the_rollover_months(self):
        tier = make_tier("capped", rollover_cap_credits=30, rollover_months=2)
        entitlement = PeriodEntitlement.of(JANUARY, tier, 0)

        assert (entitlement.expires_at, entitlement.roll_cap, entitlement.roll_until) == (FEBRUARY, 30, APRIL)

    def test_subtracts_prorated_credits_down_to_0(self):
        assert PeriodEntitlement.of(JANUARY, make_tier(), 0, granted=40).credits == 60
        assert PeriodEntitlement.of(JANUARY, make_tier(), 0, granted=140).credits == 0


class TestCreditsDue:
    def test_are_all_credits_before_the_end_of_the_period(self):
        entitlement = PeriodEntitlement.of(JANUARY, make_tier("none"), 0)

        assert entitlement.credits_due(JANUARY) == 100

    def test_are_0_under_none_after_the_period(self):
        entitlement = PeriodEntitlement.of(JANUARY, make_tier("none"), 0)

        assert entitlement.credits_due(FEBRUARY) == 0

    @pytest.mark.parametrize(("at", "expected"), [(FEBRUARY, 30), (MARCH, 0)])
    def test_are_the_cap_under_capped_until_the_rollover_expires(self, at, expected):
        tier = make_tier("capped", rollover_cap_credits=30, rollover_months=1)

        assert PeriodEntitlement.of(JANUARY, tier, 0).credits_due(at) == expected
