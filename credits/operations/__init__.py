"""The only code that writes the ledger: one verb a function, keyword-only, each in a transaction of its own.

Every verb takes ``owner`` (a User, an Organization, or ``Owner.user(id)``, ``Owner.organization(id)``) and ``at``, the
instant of the request; left out, the clock is read. Writing verbs also take ``actor``, who asks, and
``idempotency_key``, the caller's name for the request: the same request with the same key takes effect once.
"""

from credits.errors import (
    BalanceExistsError,
    BalanceNotFoundError,
    FeatureNotFoundError,
    GrantNotFoundError,
    HoldNotFoundError,
    IdempotencyKeyReusedError,
    InsufficientCreditsError,
    InvalidArgumentError,
    SpendingSuspendedError,
    TransactionNotFoundError,
)
from credits.operations._add_credits import add_credits, give
from credits.operations._answers import transaction_of
from credits.operations._arguments import Arguments
from credits.operations._deduct_credits import Deduction, deduct_credits, deduct_many
from credits.operations._expire_credits import expire_credits
from credits.operations._ledger import Answer, Page, opened, opened_many, said
from credits.operations._requests import Request, ask
from credits.operations._whole import whole
from fluxori.identity.owner import Owner

__all__ = [
    "Answer",
    "Arguments",
    "BalanceExistsError",
    "BalanceNotFoundError",
    "Deduction",
    "FeatureNotFoundError",
    "GrantNotFoundError",
    "HoldNotFoundError",
    "IdempotencyKeyReusedError",
    "InsufficientCreditsError",
    "InvalidArgumentError",
    "Owner",
    "Page",
    "Request",
    "SpendingSuspendedError",
    "TransactionNotFoundError",
    "add_credits",
    "ask",
    "deduct_credits",
    "deduct_many",
    "expire_credits",
    "give",
    "opened",
    "opened_many",
    "said",
    "transaction_of",
    "whole",
]
