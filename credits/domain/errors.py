"""The errors of the ledger: one class for each reason, with a stable code and the facts of the case.

The parent class is the kind of error; ``fluxori.api.problems`` maps kinds to HTTP status. ``docs/reference/errors.md``
lists the codes for callers.
"""

from datetime import datetime
from typing import Any

from fluxori.core.errors import (
    AbortedError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    KeyReusedError,
    NotFoundError,
    PaymentRequiredError,
    UnavailableError,
)


class InvalidArgumentError(InvalidRequestError):
    """An argument is not valid, whatever the state of the ledger; ``errors`` names each field."""


class BusyError(UnavailableError):
    """Too many requests wait, or this one waited too long for a lock; nothing was written."""

    code = "busy"
    title = "Too many requests at the same time"

    @property
    def detail(self) -> str:
        return f"{self.title}. Nothing was written; try again."


class BalanceNotFoundError(NotFoundError):
    code = "balance_not_found"
    title = "This owner has no balance"


class FeatureNotFoundError(NotFoundError):
    code = "feature_not_found"
    title = "There is no such feature, or it has no price"

    def __init__(self, *, feature: str) -> None:
        super().__init__(feature=feature)


class TransactionNotFoundError(NotFoundError):
    code = "transaction_not_found"
    title = "There is no such transaction"


class GrantNotFoundError(NotFoundError):
    code = "grant_not_found"
    title = "There is no such grant"


class HoldNotFoundError(NotFoundError):
    code = "hold_not_found"
    title = "There is no such hold"


class LimitNotFoundError(NotFoundError):
    code = "limit_not_found"
    title = "There is no such spending limit"


class IdempotencyKeyReusedError(KeyReusedError):
    code = "idempotency_key_reused"
    title = "The idempotency key was used for another request"


class SpendingSuspendedError(ForbiddenError):
    code = "spending_suspended"
    title = "Spending from this balance is suspended"

    def __init__(self, *, suspended_at: datetime) -> None:
        super().__init__(suspended_at=suspended_at)


class SpendingLimitReachedError(ForbiddenError):
    """``limit`` and ``used`` are whole credits of the exceeded limit that resets last

    ``resets_at`` is the end of its window.
    """

    code = "spending_limit_reached"
    title = "A spending limit would be exceeded"

    def __init__(self, *, limit: int, used: int, resets_at: datetime) -> None:
        super().__init__(limit=limit, used=used, resets_at=resets_at)

    @property
    def detail(self) -> str:
        facts: dict[str, Any] = self.facts
        return f"{facts['used']} of {facts['limit']} credits are used until {facts['resets_at']:%Y-%m-%d %H:%M} UTC."


class InsufficientCreditsError(PaymentRequiredError):
    """Whole credits. ``held`` are credits that open holds have set aside."""

    code = "insufficient_credits"
    title = "Not enough credits"

    def __init__(self, *, required: int, available: int, held: int) -> None:
        super().__init__(required=required, available=available, held=held, shortfall=required - available)

    @property
    def detail(self) -> str:
        facts: dict[str, Any] = self.facts
        return f"{facts['required']} credits are needed, {facts['available']} are available."


class BalanceExistsError(ConflictError):
    code = "balance_exists"
    title = "This owner already has a balance with a tier"


class HoldClosedError(ConflictError):
    """``hold_status`` is ``captured``, ``released`` or ``lapsed``."""

    code = "hold_closed"
    title = "The hold was captured, released or has lapsed"

    def __init__(self, *, hold_status: str) -> None:
        super().__init__(hold_status=hold_status)

    @property
    def detail(self) -> str:
        return f"The hold {'has' if self.facts['hold_status'] == 'lapsed' else 'was'} {self.facts['hold_status']}."


class NotRefundableError(ConflictError):
    code = "not_refundable"
    title = "Only usage can be refunded"


class RefundExceedsUsageError(ConflictError):
    """``refundable`` is what was used and not yet refunded, in whole credits."""

    code = "refund_exceeds_usage"
    title = "The refund exceeds what was used and not yet refunded"

    def __init__(self, *, refundable: int) -> None:
        super().__init__(refundable=refundable)


class NotReversibleError(ConflictError):
    code = "not_reversible"
    title = "Only a purchase can be reversed"


class ReversalExceedsPurchaseError(ConflictError):
    """``reversible`` is what can still be reversed, in whole credits: bought, not reversed, and not gone unused."""

    code = "reversal_exceeds_purchase"
    title = "The reversal exceeds what can still be reversed of the purchase"

    def __init__(self, *, reversible: int) -> None:
        super().__init__(reversible=reversible)


class GrantNotVoidableError(ConflictError):
    code = "grant_not_voidable"
    title = "The grant is spent or has expired"


class GrantNotExtendableError(ConflictError):
    code = "grant_not_extendable"
    title = "The grant has nothing remaining whose expiry can be extended"


class TransferToSelfError(ConflictError):
    code = "transfer_to_self"
    title = "Credits cannot be transferred from a balance to itself"


class BatchAbortedError(AbortedError):
    code = "batch_aborted"
    title = "Another deduction of this balance in the atomic batch was rejected"
