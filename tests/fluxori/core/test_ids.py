import time

from fluxori.core.ids import uuid7


class TestUuid7:
    def test_contains_the_version_and_the_time_of_creation(self):
        before = time.time_ns() // 1_000_000
        made_id = uuid7()
        after = time.time_ns() // 1_000_000

        assert (made_id.version, made_id.variant) == (7, "specified in RFC 4122")
        assert before <= made_id.int >> 80 <= after

    def test_sorts_by_time_of_creation(self):
        earlier = uuid7()
        time.sleep(0.002)

        assert earlier < uuid7()

    def test_is_unique_in_ten_thousand_calls(self):
        assert len({uuid7() for _ in range(10_000)}) == 10_000
