import time

from fluxori.core.ids import uuid7


class TestUuid7:
    def test_says_its_version_and_the_time_it_was_made(self):
        before = time.time_ns() // 1_000_000
        made = uuid7()
        after = time.time_ns() // 1_000_000

        assert (made.version, made.variant) == (7, "specified in RFC 4122")
        assert before <= made.int >> 80 <= after

    def test_sorts_by_time(self):
        earlier = uuid7()
        time.sleep(0.002)

        assert earlier < uuid7()

    def test_is_never_the_same_twice(self):
        assert len({uuid7() for _ in range(10_000)}) == 10_000
