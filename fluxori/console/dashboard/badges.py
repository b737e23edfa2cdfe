"""Counts that the sidebar shows next to its entries."""

from typing import Any

from fluxori.console import queries

MAX_COUNT = 99


def pending_requests(request: Any) -> str:
    """Return the number of pending requests that this member of staff may decide on. An empty text hides the badge."""
    if not request.user.has_perm("console.approve_requests"):
        return ""
    of_others = queries.pending_requests().exclude(requested_by=request.user)
    count = len(of_others.values_list("pk")[: MAX_COUNT + 1])
    return f"{MAX_COUNT}+" if count > MAX_COUNT else str(count or "")
