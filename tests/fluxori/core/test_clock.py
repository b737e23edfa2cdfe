from datetime import timedelta, timezone

from fluxori.core import clock
from tests.support.threads import run_concurrently
from tests.support.times import HOUR, NOON


class TestFixed:
    def test_shows_the_instant_in_utc_until_the_block_ends(self):
        with clock.fixed(NOON.astimezone(timezone(timedelta(hours=2)))):
            assert clock.now() == NOON
            assert clock.now().utcoffset() == timedelta(0)
            with clock.fixed(NOON + HOUR):
                assert clock.now() == NOON + HOUR
            assert clock.now() == NOON
        assert clock.now() > NOON + HOUR

    def test_applies_to_all_threads(self, db):
        with clock.fixed(NOON):
            assert run_concurrently([clock.now] * 2) == [NOON, NOON]
