"""Every reason the ledger has to refuse, each with its stable code.

The kind, each class's parent, says what sort of no it is. ``docs/errors.md`` lists them for the people who call us.
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
    """An argument could never be right; ``errors`` names each field."""


class BusyError(UnavailableError):
    """Too many wait for those before them, or it has waited too long; nothing was written."""

    code = "busy"
    title = "Too much is going on here at once"

    @property
    def detail(self) -> str:
        return f"{self.title}. Nothing was written; try again."


class BalanceNotFoundError(NotFoundError):
    code = "balance_not_found"
    title = "Nobody opened this balance"


class FeatureNotFoundError(NotFoundError):
    code = "feature_not_found"
    title = "There is no such feature, or it has no price yet"

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
    title = "The idempotency key already names another request"


class SpendingSuspendedError(ForbiddenError):
    code = "spending_suspended"
    title = "Spending from this balance is suspended"

    def __init__(self, *, suspended_at: datetime) -> None:
        super().__init__(suspended_at=suspended_at)


class SpendingLimitReachedError(ForbiddenError):
    """``limit`` and ``used`` are whole credits of the limit that resets last; ``resets_at`` is when that is."""

    code = "spending_limit_reached"
    title = "A spending limit does not allow it"

    def __init__(self, *, limit: int, used: int, resets_at: datetime) -> None:
        super().__init__(limit=limit, used=used, resets_at=resets_at)

    @property
    def detail(self) -> str:
        facts: dict[str, Any] = self.facts
        return f"{facts['used']} of {facts['limit']} credits are used until {facts['resets_at']:%Y-%m-%d %H:%M} UTC."


class InsufficientCreditsError(PaymentRequiredError):
    """All counts are whole credits; ``held`` are those set aside for work under way."""

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
    code = "hold_closed"
    title = "The hold was captured, released or has lapsed"


class NotRefundableError(ConflictError):
    code = "not_refundable"
    title = "Only usage can be refunded"


class RefundExceedsUsageError(ConflictError):
    """``refundable`` is what was used and not yet refunded, in whole credits."""

    code = "refund_exceeds_usage"
    title = "More than was used and not yet refunded"

    def __init__(self, *, refundable: int) -> None:
        super().__init__(refundable=refundable)


class NotReversibleError(ConflictError):
    code = "not_reversible"
    title = "Only a purchase can be reversed"


class ReversalExceedsPurchaseError(ConflictError):
    """``reversible`` is what was bought and not yet reversed, in whole credits."""

    code = "reversal_exceeds_purchase"
    title = "More than was bought and not yet reversed"

    def __init__(self, *, reversible: int) -> None:
        super().__init__(reversible=reversible)


class GrantNotVoidableError(ConflictError):
    code = "grant_not_voidable"
    title = "The grant is spent or has expired"


class GrantNotExtendableError(ConflictError):
    code = "grant_not_extendable"
    title = "The grant has nothing left whose expiry could be moved"


class BatchAbortedError(AbortedError):
    code = "batch_aborted"
    title = "Another deduction of this balance in the batch was refused, and they go together"
