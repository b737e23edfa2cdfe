"""The only code that writes the ledger: one verb a function, keyword-only, each in a transaction of its own.

Every verb takes ``owner`` (a User, an Organization, or ``Owner.user(id)``, ``Owner.organization(id)``) and ``at``, the
instant of the request; left out, the clock is read. Writing verbs also take ``actor``, who asks, and
``idempotency_key``, the caller's name for the request: the same request with the same key takes effect once.

``plan_grant``, ``DeductionPlan``, ``placed``, ``captured``, ``released`` and ``refunded`` plan one movement on a page that
``opened`` or ``lock_balances`` has opened, for whoever plans many of them at once.
"""

from credits.domain.errors import (
    BalanceExistsError,
    BalanceNotFoundError,
    BatchAbortedError,
    BusyError,
    FeatureNotFoundError,
    GrantNotExtendableError,
    GrantNotFoundError,
    GrantNotVoidableError,
    HoldClosedError,
    HoldNotFoundError,
    IdempotencyKeyReusedError,
    InsufficientCreditsError,
    InvalidArgumentError,
    LimitNotFoundError,
    NotRefundableError,
    NotReversibleError,
    RefundExceedsUsageError,
    ReversalExceedsPurchaseError,
    SpendingLimitReachedError,
    SpendingSuspendedError,
    TransactionNotFoundError,
)
from credits.engine.idempotency import Request, ask
from credits.engine.locked_balance import Answer, Page, lock_balances, opened, said
from credits.engine.results import transaction_of
from credits.engine.validation import Arguments
from credits.operations.add_credits import add_credits, plan_expired_period_grant, plan_grant
from credits.operations.aggregate_usage import aggregate_usage, finish_aggregation
from credits.operations.charge import Charge, charge
from credits.operations.corrections import (
    VoidResult,
    adjust_credits,
    extend_grant,
    refund_usage,
    refunded,
    reverse_purchase,
    void_grant,
)
from credits.operations.deduct_credits import Deduction, DeductionPlan, deduct_batch, deduct_credits, deduct_many
from credits.operations.expire_credits import expire_credits
from credits.operations.holds import (
    CaptureResult,
    capture_hold,
    captured,
    extend_hold,
    place_hold,
    placed,
    release_hold,
    released,
)
from credits.operations.limits import LimitResult, remove_limit, set_limit
from credits.operations.suspend_spending import resume_spending, suspend_spending
from fluxori.core.input_rules import canonical_json
from fluxori.db.transactions import whole
from fluxori.identity.owner import Owner

__all__ = [
    "Answer",
    "Arguments",
    "BalanceExistsError",
    "BalanceNotFoundError",
    "BatchAbortedError",
    "BusyError",
    "CaptureResult",
    "Charge",
    "Deduction",
    "DeductionPlan",
    "FeatureNotFoundError",
    "GrantNotExtendableError",
    "GrantNotFoundError",
    "GrantNotVoidableError",
    "HoldClosedError",
    "HoldNotFoundError",
    "IdempotencyKeyReusedError",
    "InsufficientCreditsError",
    "InvalidArgumentError",
    "LimitNotFoundError",
    "LimitResult",
    "NotRefundableError",
    "NotReversibleError",
    "Owner",
    "Page",
    "RefundExceedsUsageError",
    "Request",
    "ReversalExceedsPurchaseError",
    "SpendingLimitReachedError",
    "SpendingSuspendedError",
    "TransactionNotFoundError",
    "VoidResult",
    "add_credits",
    "adjust_credits",
    "aggregate_usage",
    "ask",
    "canonical_json",
    "capture_hold",
    "captured",
    "charge",
    "deduct_batch",
    "deduct_credits",
    "deduct_many",
    "expire_credits",
    "extend_grant",
    "extend_hold",
    "finish_aggregation",
    "lock_balances",
    "opened",
    "place_hold",
    "placed",
    "plan_expired_period_grant",
    "plan_grant",
    "refund_usage",
    "refunded",
    "release_hold",
    "released",
    "remove_limit",
    "resume_spending",
    "reverse_purchase",
    "said",
    "set_limit",
    "suspend_spending",
    "transaction_of",
    "void_grant",
    "whole",
]
