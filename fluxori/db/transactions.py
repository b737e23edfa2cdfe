"""Transactions of operations: one operation, one database transaction, retried after a deadlock.

``transaction_with_retry`` is the outermost transaction of every public operation. It never retries inside a transaction
of the caller, because the first part of that one is not known here.
"""

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, connection, transaction

from fluxori.core import metrics
from fluxori.db.sqlstates import DEADLOCK_DETECTED, POOLER, RETRYABLE, SERIALIZATION_FAILURE, sqlstate_of

P = ParamSpec("P")
R = TypeVar("R")

_ATTEMPTS = 4
_RETRY_REASONS = {
    DEADLOCK_DETECTED: "deadlock",
    SERIALIZATION_FAILURE: "serialization_failure",
    **dict.fromkeys(POOLER, "pooler"),
}


def transaction_with_retry(operation: Callable[P, R]) -> Callable[P, R]:
    """Run ``operation`` in one database transaction; after a deadlock or serialization failure run it again, at most
    4 runs in all. After an error that a connection pooler caused, run it once more on a new connection.

    Inside a caller's own ``atomic`` the operation joins that transaction: it commits or rolls back with it, keeps its
    locks until then, and is not retried. An error that the caller catches leaves nothing behind there either (a
    savepoint).
    """

    @wraps(operation)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if connection.in_atomic_block:
            with transaction.atomic():
                return operation(*args, **kwargs)
        for attempt in range(1, _ATTEMPTS):
            try:
                with transaction.atomic():
                    return operation(*args, **kwargs)
            except DatabaseError as error:
                sqlstate = sqlstate_of(error)
                if sqlstate in POOLER and attempt == 1:
                    # psycopg remembers which statements it has prepared; a new connection knows none.
                    connection.close()
                elif sqlstate not in RETRYABLE:
                    raise
                metrics.transaction_retries.labels(_RETRY_REASONS[str(sqlstate)]).inc()
                # Backoff with jitter, so that the transactions that collided do not collide again.
                time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - not for security
        with transaction.atomic():
            return operation(*args, **kwargs)

    return run
