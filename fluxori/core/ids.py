"""Identifiers that sort by the time they were made."""

import os
import time
import uuid

_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)
_RANDOM = (1 << 62) - 1


def uuid7() -> uuid.UUID:
    """Return a UUID version 7: Unix milliseconds, 12 bits of the fraction of the millisecond, then 62 random bits.

    Rows written one after another land side by side in an index and sort in the order they were made, to a quarter of
    a microsecond; nobody can guess the next one.

    Source: RFC 9562, section 5.7, and section 6.2, method 3.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    chance = int.from_bytes(os.urandom(8), "big") & _RANDOM
    return uuid.UUID(int=(milliseconds << 80) | (fraction << 64) | _VERSION_AND_VARIANT | chance)
