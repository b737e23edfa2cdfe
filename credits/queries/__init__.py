"""Reads of the ledger. Nothing here writes or locks; due events are applied in memory only.

Other packages import this package and call ``queries.get_balance(...)``. ``loading`` is what reads and the engine
share.
"""

from credits.queries.balances import (
    account_names,
    balances_in_debt,
    due_balances,
    filter_by_available,
    find_balance,
    get_balance,
    get_balances,
    get_snapshots,
    preview_balance,
    settle_balances,
)
from credits.queries.grants import emptied_grants, get_grants, owner_of_grant, settle_grants
from credits.queries.holds import get_hold, get_holds, hold_status, owner_of_hold, settle_holds, with_pins
from credits.queries.limits import get_limit, get_limits, limit_statuses, used_since
from credits.queries.loading import load_settled_balance
from credits.queries.prices import Check, check_spending, cost_of, get_features, prices
from credits.queries.transactions import (
    expired_at_once,
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
    "account_names",
    "balances_in_debt",
    "check_spending",
    "cost_of",
    "due_balances",
    "emptied_grants",
    "expired_at_once",
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
    "hold_status",
    "limit_statuses",
    "load_settled_balance",
    "locate_transaction",
    "lost_credits",
    "owner_of_grant",
    "owner_of_hold",
    "preview_balance",
    "prices",
    "settle_balances",
    "settle_grants",
    "settle_holds",
    "used_since",
    "with_pins",
]
