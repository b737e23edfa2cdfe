"""Reads of the ledger. Nothing here writes or locks; due events are applied in memory only.

Other packages import this package and call ``queries.get_balance(...)``. ``loading`` is what reads and the engine
share.
"""

from credits.queries.balances import (
    due_balances,
    filter_by_available,
    find_balance,
    get_balance,
    get_balances,
    get_snapshots,
    preview_balance,
)
from credits.queries.grants import get_grants, owner_of_grant
from credits.queries.holds import get_hold, get_holds, owner_of_hold, with_pins
from credits.queries.limits import get_limit, get_limits, limit_statuses, used_since
from credits.queries.loading import load_settled_balance
from credits.queries.prices import Check, check_spending, cost_of, get_features, prices
from credits.queries.transactions import (
    extended_copies,
    get_correction_state,
    get_transaction,
    get_transaction_history,
    grants_from,
    locate_transaction,
    lost_credits,
)

__all__ = [
    "Check",
    "check_spending",
    "cost_of",
    "due_balances",
    "extended_copies",
    "filter_by_available",
    "find_balance",
    "get_balance",
    "get_balances",
    "get_correction_state",
    "get_features",
    "get_grants",
    "get_hold",
    "get_holds",
    "get_limit",
    "get_limits",
    "get_snapshots",
    "get_transaction",
    "get_transaction_history",
    "grants_from",
    "limit_statuses",
    "load_settled_balance",
    "locate_transaction",
    "lost_credits",
    "owner_of_grant",
    "owner_of_hold",
    "preview_balance",
    "prices",
    "used_since",
    "with_pins",
]
