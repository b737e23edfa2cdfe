"""The records of the ledger as plain data: grants, holds, transactions with their entries, and snapshots of a balance.

Operations plan with these records, return them in their results, and the engine writes them as rows. They import
neither Django nor the database. ``balance_state.py`` changes them under the rules of the ledger; ``credits.models``
describes the tables.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from credits.domain import constants


@dataclass(slots=True)
class Grant:
    """Credits given at once, spendable in ``[effective_at, expires_at)``; see ``credits.models.CreditGrant``."""

    id: UUID
    source: str
    amount: int
    remaining: int
    held: int
    priority: int
    effective_at: datetime
    expires_at: datetime | None
    voided_at: datetime | None = None
    roll_cap: int | None = None
    roll_until: datetime | None = None
    unit_price: Decimal | None = None
    feature_id: str | None = None
    parent_id: UUID | None = None
    transaction_id: UUID | None = None

    def expired(self, at: datetime) -> bool:
        """Whether the grant cannot be spent any more at ``at``: from the instant of its expiry on."""
        return self.expires_at is not None and self.expires_at <= at


@dataclass(slots=True)
class Hold:
    """Credits set aside on grants; ``pins`` are (grant id, credits) pairs in burn order."""

    id: UUID
    amount: int
    created_at: datetime
    expires_at: datetime
    pins: list[tuple[UUID, int]]
    status: str = "open"
    captured: int = 0
    closed_at: datetime | None = None
    feature_id: str | None = None
    price_id: UUID | None = None
    quantity: int | None = None
    description: str = ""
    reference_id: str = ""
    metadata: str | None = None
    actor_id: UUID | None = None
    member_id: UUID | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class GrantDelta:
    """A signed change of what a grant has remaining, as part of a transaction. Without a grant it changes the debt."""

    grant: Grant | None
    amount: int


@dataclass(slots=True)
class Entry:
    """The share of one transaction that fell on one grant, or on debt if ``grant_id`` is None. Signed."""

    id: UUID
    grant_id: UUID | None
    position: int
    amount: int
    remaining_after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionDetails:
    """The hashed facts of a transaction besides its numbers. Ids and free text only, no names or e-mail addresses."""

    description: str = ""
    reference_id: str = ""
    feature_id: str | None = None
    price_id: UUID | None = None
    quantity: int | None = None
    actor_id: UUID | None = None
    member_id: UUID | None = None
    hold_id: UUID | None = None
    reverses_id: UUID | None = None
    counterpart_id: UUID | None = None
    idempotency_key: str | None = None
    reason: str = ""
    request_id: str = ""
    metadata: str | None = None


@dataclass(slots=True)
class Transaction:
    """One movement of one balance; see ``credits.models.CreditTransaction``. ``opened`` are the grants it creates."""

    id: UUID
    balance_id: UUID
    sequence: int
    type: str
    amount: int
    balance_after: int
    timestamp: datetime
    recorded_at: datetime
    details: TransactionDetails
    entries: list[Entry]
    opened: list[Grant]
    previous_hash: bytes
    hash_version: int = constants.HASH_VERSION
    hash: bytes = b""


@dataclass(slots=True)
class PurchaseLeft:
    """What a reversal of one purchase could still take: bought, and neither reversed nor gone in another way."""

    amount: int


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one unit of a feature: ``credits`` whole credits from ``effective_from`` on."""

    id: UUID
    credits: int
    effective_from: datetime


@dataclass(frozen=True, slots=True)
class BalanceSnapshot:
    """A balance at one instant. Whole credits; ``available`` is never below zero."""

    id: UUID
    user_id: UUID | None
    organization_id: UUID | None
    balance: int
    held: int
    available: int
    debt: int
    last_updated: datetime
    next_expiry: tuple[int, datetime] | None
    sequence: int
    version: int
    suspended_at: datetime | None = None
    # What is available, by the source of the grants; sources without credits are left out.
    by_source: dict[str, int] = field(default_factory=dict, hash=False)
