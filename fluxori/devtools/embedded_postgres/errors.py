"""The one thing that can be said when there is no server."""


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be used; the message says why, and what to do about it."""
