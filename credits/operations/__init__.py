"""The public API for changing the ledger: one verb a file, keyword-only, each in a transaction of its own, which
concurrent deductions share.

Every verb takes ``owner`` (a User, an Organization, ``Owner.user(id)`` or ``Owner.organization(id)``), or the id of a
hold, transaction, grant or limit, and ``at``, the instant of the request; without it the clock is read. An ``at``
before the last change of the balance takes effect at that change; one more than five minutes ahead of the clock is an
InvalidArgumentError (``in_future``). Writing verbs also take ``actor``, the caller, and ``idempotency_key``, the
caller's name for the request: the same request with the same key takes effect once. They return frozen results; the
docstrings list the errors in the order in which they are raised. Reads are in ``credits.queries``.
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
    TransferToSelfError,
)
from credits.engine.deductions import Deduction
from credits.engine.results import (
    CaptureResult,
    HoldResult,
    LimitResult,
    RefundResult,
    TransactionResult,
    TransferResult,
    VoidResult,
)
from credits.operations.add_credits import add_credits
from credits.operations.adjust_credits import adjust_credits
from credits.operations.aggregate_usage import aggregate_usage, finish_aggregation
from credits.operations.capture_hold import capture_hold
from credits.operations.charge import Charge, charge
from credits.operations.deduct_batch import deduct_batch, deduct_many
from credits.operations.deduct_credits import deduct_credits
from credits.operations.expire_credits import expire_credits
from credits.operations.extend_grant import extend_grant
from credits.operations.extend_hold import extend_hold
from credits.operations.place_hold import place_hold
from credits.operations.rebuild_balance import Change, NotOwnerError, RebuildResult, rebuild_balance
from credits.operations.record_verification import record_verification
from credits.operations.refund_usage import refund_usage
from credits.operations.release_hold import release_hold
from credits.operations.remove_limit import remove_limit
from credits.operations.reverse_purchase import reverse_purchase
from credits.operations.set_limit import set_limit
from credits.operations.suspend_spending import resume_spending, suspend_spending
from credits.operations.transfer_credits import transfer_credits
from credits.operations.void_grant import void_grant
from fluxori.identity.owner import Owner

__all__ = [
    "BalanceExistsError",
    "BalanceNotFoundError",
    "BatchAbortedError",
    "BusyError",
    "CaptureResult",
    "Change",
    "Charge",
    "Deduction",
    "FeatureNotFoundError",
    "GrantNotExtendableError",
    "GrantNotFoundError",
    "GrantNotVoidableError",
    "HoldClosedError",
    "HoldNotFoundError",
    "HoldResult",
    "IdempotencyKeyReusedError",
    "InsufficientCreditsError",
    "InvalidArgumentError",
    "LimitNotFoundError",
    "LimitResult",
    "NotOwnerError",
    "NotRefundableError",
    "NotReversibleError",
    "Owner",
    "RebuildResult",
    "RefundExceedsUsageError",
    "RefundResult",
    "ReversalExceedsPurchaseError",
    "SpendingLimitReachedError",
    "SpendingSuspendedError",
    "TransactionNotFoundError",
    "TransactionResult",
    "TransferResult",
    "TransferToSelfError",
    "VoidResult",
    "add_credits",
    "adjust_credits",
    "aggregate_usage",
    "capture_hold",
    "charge",
    "deduct_batch",
    "deduct_credits",
    "deduct_many",
    "expire_credits",
    "extend_grant",
    "extend_hold",
    "finish_aggregation",
    "place_hold",
    "rebuild_balance",
    "record_verification",
    "refund_usage",
    "release_hold",
    "remove_limit",
    "resume_spending",
    "reverse_purchase",
    "set_limit",
    "suspend_spending",
    "transfer_credits",
    "void_grant",
]
