"""One operation, one transaction, tried again where the database asks for it."""

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection, transaction

P = ParamSpec("P")
R = TypeVar("R")

_SERIALIZATION_FAILURE = "40001"
_DEADLOCK = "40P01"
_TRIES = 4


def whole(operation: Callable[P, R]) -> Callable[P, R]:
    """Run ``operation`` in one database transaction, and again, a few times, after a deadlock.

    Inside a caller's own ``atomic`` it joins that transaction instead: what it did stands or falls with the caller's
    commit, its locks last until then, and there is no second try, since the first part is not ours to repeat. A refusal
    that the caller catches leaves nothing behind there either.
    """

    @wraps(operation)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if connection.in_atomic_block:
            with transaction.atomic():
                return operation(*args, **kwargs)
        for attempt in range(1, _TRIES):
            try:
                with transaction.atomic():
                    return operation(*args, **kwargs)
            except OperationalError as fault:
                if getattr(fault.__cause__, "sqlstate", None) not in (_SERIALIZATION_FAILURE, _DEADLOCK):
                    raise
                time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - only spreads the retries
        with transaction.atomic():
            return operation(*args, **kwargs)

    return run
