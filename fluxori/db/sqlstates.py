"""The PostgreSQL error codes (SQLSTATE) that the project distinguishes, by what a caller can do about them.

Each set is written once, here. The codes are listed in appendix A of the PostgreSQL manual. ``fluxori.db.transactions``
retries, ``fluxori.api.problems`` maps errors to HTTP status codes.
"""

LOCK_NOT_AVAILABLE = "55P03"  # lock_timeout passed, or NOWAIT
QUERY_CANCELED = "57014"  # statement_timeout passed
SERIALIZATION_FAILURE = "40001"
DEADLOCK_DETECTED = "40P01"
DISK_FULL = "53100"
INSUFFICIENT_PRIVILEGE = "42501"
TOO_MANY_CONNECTIONS = "53300"
UNDEFINED_COLUMN = "42703"
UNDEFINED_TABLE = "42P01"
READ_ONLY_TRANSACTION = "25006"  # the server became a stand-by after a failover
IDLE_IN_TRANSACTION_TIMEOUT = "25P03"  # the server ended the session, and with it the transaction
TRANSACTION_TIMEOUT = "25P04"

# Repeating the whole transaction can succeed.
RETRYABLE = frozenset({SERIALIZATION_FAILURE, DEADLOCK_DETECTED})

# A connection pooler has exchanged the server session under prepared statements: unknown or duplicate statement name,
# protocol violation. A new connection can succeed.
POOLER = frozenset({"26000", "42P05", "08P01"})

# PostgreSQL rolled back because it could not serve the statement in time.
BUSY = frozenset({LOCK_NOT_AVAILABLE, QUERY_CANCELED}) | RETRYABLE | POOLER

# Classes of errors that end the connection or come from the server itself: connection exceptions, insufficient
# resources, shutdown and start, system errors, internal errors. During COMMIT they leave the outcome unknown.
UNAVAILABLE_PREFIXES = ("08", "53", "57P", "58", "XX", IDLE_IN_TRANSACTION_TIMEOUT, TRANSACTION_TIMEOUT)


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of one of Django's database errors, or None if PostgreSQL did not send one."""
    return getattr(error.__cause__, "sqlstate", None)
