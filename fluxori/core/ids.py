"""Identifiers that sort by their time of creation."""

import os
import time
import uuid

_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)
_RANDOM_BITS = (1 << 62) - 1


def uuid7() -> uuid.UUID:
    """Return a UUID version 7: Unix milliseconds, 12 bits of the fraction of the millisecond, then 62 random bits.

    Ids sort by time of creation, to a quarter of a microsecond, so rows inserted together are close together in an
    index. The random bits make ids unpredictable.

    Source: RFC 9562, section 5.7, and section 6.2, method 3.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    random_bits = int.from_bytes(os.urandom(8), "big") & _RANDOM_BITS
    return uuid.UUID(int=(milliseconds << 80) | (fraction << 64) | _VERSION_AND_VARIANT | random_bits)


def id_from_text(text: object) -> uuid.UUID | None:
    """Return the id that ``text`` spells as the project itself does, or None for any other text or value.

    >>> id_from_text("01890a5d-ac96-774b-bcce-b302099a8057")
    UUID('01890a5d-ac96-774b-bcce-b302099a8057')
    >>> id_from_text("urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057"), id_from_text(7)
    (None, None)
    """
    if not isinstance(text, str):
        return None
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text else None
