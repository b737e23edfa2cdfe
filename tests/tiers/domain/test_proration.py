import doctest

from tiers.domain import proration


class TestProratedCredits:
    def test_examples_in_the_docstring_hold(self):
        assert doctest.testmod(proration).failed == 0
