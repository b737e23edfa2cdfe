"""The credits that a change to a larger tier grants for the rest of a period. A pure function."""

from datetime import datetime, timedelta

_MICROSECOND = timedelta(microseconds=1)


def prorated_credits(*, new: int, high: int, starts_at: datetime, ends_at: datetime, at: datetime) -> int:
    """Return the credits for the rest of the period: floor((new - high) * time left / period length), at least 0.

    ``new`` is the monthly credits of the new tier, ``high`` the most monthly credits of any tier held in the period so
    far. The result is in whole credits, rounded down, computed in integer microseconds, so that several changes never
    grant more than one change would. The period is half-open. At or after its end nothing is left; before its start all
    of it is.

    >>> from datetime import UTC
    >>> april = {"starts_at": datetime(2025, 4, 1, tzinfo=UTC), "ends_at": datetime(2025, 5, 1, tzinfo=UTC)}
    >>> prorated_credits(new=2000, high=400, at=datetime(2025, 4, 16, tzinfo=UTC), **april)
    800
    """
    left = (ends_at - min(max(at, starts_at), ends_at)) // _MICROSECOND
    length = (ends_at - starts_at) // _MICROSECOND
    return max(new - high, 0) * left // length
