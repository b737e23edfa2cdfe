"""What setting and removing a limit share: the limit in a stored result."""

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from credits.domain.limits import Limit, LimitStatus
from credits.engine.locked_balance import LockedBalance, OperationResult
from credits.engine.results import LimitResult


def limit_extras(limit: Limit, balance: LockedBalance) -> dict[str, Any]:
    """Return the limit as an extra of a stored result."""
    return {"limit": asdict(limit.status(balance.at))}


def limit_result(result: OperationResult) -> LimitResult:
    """Return the public result of an operation on a limit."""
    limit = dict(result.extras["limit"])
    if result.replayed:
        # A stored result went through JSON.
        limit["id"] = UUID(limit["id"])
        limit["member_id"] = limit["member_id"] and UUID(limit["member_id"])
        limit["resets_at"] = datetime.fromisoformat(limit["resets_at"])
    return LimitResult(LimitStatus(**limit), result.snapshot, result.replayed)
