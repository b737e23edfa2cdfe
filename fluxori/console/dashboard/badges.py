"""Small numbers in the sidebar."""

from typing import Any

from fluxori.console import queries

MANY = 99


def pending_requests(request: Any) -> str:
    """Return how many requests of others wait for this member of staff, or nothing."""
    if not request.user.has_perm("console.approve_requests"):
        return ""
    waiting = queries.pending_requests().exclude(asked_by=request.user).values_list("pk")[: MANY + 1]
    found = len(waiting)
    return f"{MANY}+" if found > MANY else str(found or "")
