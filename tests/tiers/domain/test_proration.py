import doctest
from datetime import UTC, datetime, timedelta

import pytest

from tiers.domain import proration

JANUARY, FEBRUARY = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def prorate(new, high, at):
    return proration.prorated_credits(new=new, high=high, starts_at=JANUARY, ends_at=FEBRUARY, at=at)


class TestProratedCredits:
    def test_examples_in_the_docstring_hold(self):
        assert doctest.testmod(proration).failed == 0

    @pytest.mark.parametrize("at", [FEBRUARY, FEBRUARY + MICROSECOND, datetime(2024, 3, 15, tzinfo=UTC)])
    def test_grants_nothing_at_or_after_the_end_of_the_period(self, at):
        assert prorate(100, 0, at) == 0

    @pytest.mark.parametrize("at", [JANUARY, JANUARY - MICROSECOND, datetime(2023, 1, 1, tzinfo=UTC)])
    def test_grants_the_difference_once_at_or_before_the_start_of_the_period(self, at):
        assert prorate(100, 40, at) == 60

    @pytest.mark.parametrize("at", [JANUARY, FEBRUARY - MICROSECOND, FEBRUARY])
    def test_grants_nothing_for_a_smaller_tier(self, at):
        assert prorate(40, 100, at) == 0
