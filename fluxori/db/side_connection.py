"""A second connection to the database, with short time-outs, for code that observes the first one."""

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper


def new_connection(*, statement_timeout_ms: int) -> BaseDatabaseWrapper:
    """Return a connection to the database of this process, not yet open. The caller closes it."""
    connection = connections[DEFAULT_DB_ALIAS].copy()
    options = connection.settings_dict["OPTIONS"]
    connection.settings_dict["OPTIONS"] = {
        **{name: value for name, value in options.items() if name != "pool"},
        "options": f"{options.get('options', '')} -c statement_timeout={statement_timeout_ms}",
        "connect_timeout": 2,
        # A host that no longer responds must not occupy the thread for the hours of the default keepalive.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }
    return connection
