"""Replacement of kept connections that the server has closed, without a statement for each request.

Django's ``CONN_HEALTH_CHECKS`` sends ``SELECT 1`` before the first statement of a request, which costs a round trip. A
server that ends a session, for a restart for example, closes the socket; an idle connection whose socket has something
to read has therefore ended. A server that vanished without closing is found by keepalives or by the watchdog of
``fluxori.db.deadlines``, as it would be with ``SELECT 1``.
"""

import select
from typing import Any

import psycopg
from django.db import connections


def close_lost_connections(**_: Any) -> None:
    """Close the connections of this thread that the server has closed; Django opens a new one when it is needed."""
    for wrapper in connections.all(initialized_only=True):
        if wrapper.connection is not None and not wrapper.in_atomic_block and _has_input(wrapper.connection):
            wrapper.close()


def _has_input(connection: "psycopg.Connection[Any]") -> bool:
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
    except psycopg.OperationalError:  # closed on this side
        return True
    return bool(poll.poll(0))
