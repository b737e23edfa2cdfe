"""The only code that writes the ledger: one verb a function, keyword-only, each in a transaction of its own.

Every verb takes ``owner`` (a User, an Organization, or ``Owner.user(id)``, ``Owner.organization(id)``) and ``at``, the
instant of the request; left out, the clock is read. Writing verbs also take ``actor``, who asks, and
``idempotency_key``, the caller's name for the request: the same request with the same key takes effect once.

``give``, ``Spending``, ``placed``, ``captured``, ``released`` and ``refunded`` plan one movement on a page that
``opened`` or ``opened_many`` has opened, for whoever plans many of them at once.
"""

from credits.errors import (
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
from credits.operations._add_credits import add_credits, give, give_rolled
from credits.operations._answers import transaction_of
from credits.operations._arguments import Arguments, canonical_json
from credits.operations._charge import Charge, charge
from credits.operations._corrections import (
    Voided,
    adjust_credits,
    extend_grant,
    refund_usage,
    refunded,
    reverse_purchase,
    void_grant,
)
from credits.operations._deduct_credits import Deduction, Spending, deduct_batch, deduct_credits, deduct_many
from credits.operations._expire_credits import expire_credits
from credits.operations._fold_usage import finish_fold, fold_usage
from credits.operations._holds import (
    Captured,
    capture_hold,
    captured,
    extend_hold,
    place_hold,
    placed,
    release_hold,
    released,
)
from credits.operations._ledger import Answer, Page, opened, opened_many, said
from credits.operations._limits import Limited, remove_limit, set_limit
from credits.operations._requests import Request, ask
from credits.operations._suspend_spending import resume_spending, suspend_spending
from credits.operations._whole import whole
from fluxori.identity.owner import Owner

__all__ = [
    "Answer",
    "Arguments",
    "BalanceExistsError",
    "BalanceNotFoundError",
    "BatchAbortedError",
    "BusyError",
    "Captured",
    "Charge",
    "Deduction",
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
    "Limited",
    "NotRefundableError",
    "NotReversibleError",
    "Owner",
    "Page",
    "RefundExceedsUsageError",
    "Request",
    "ReversalExceedsPurchaseError",
    "Spending",
    "SpendingLimitReachedError",
    "SpendingSuspendedError",
    "TransactionNotFoundError",
    "Voided",
    "add_credits",
    "adjust_credits",
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
    "finish_fold",
    "fold_usage",
    "give",
    "give_rolled",
    "opened",
    "opened_many",
    "place_hold",
    "placed",
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
