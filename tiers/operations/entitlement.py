"""How the entitlement of a period becomes a grant and an allocation row, and the result of the operations of tiers."""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any
from uuid import UUID

from credits.domain.records import BalanceSnapshot, Transaction
from credits.engine.idempotency import RequestIdentity
from credits.engine.locked_balance import LockedBalance, OperationResult
from credits.engine.plan_grants import plan_expired_period_grant, plan_grant
from credits.engine.results import optional_transaction
from credits.tier_registry import TierFacts
from fluxori.core.ids import uuid7
from tiers.domain import errors
from tiers.domain.constants import NOT_SKIPPED
from tiers.domain.entitlement import PeriodEntitlement
from tiers.models import Tier


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an operation of tiers: the balance after it, the tier facts, and the transaction, if any.

    ``allocated`` is False if the period had its allocation already; ``transaction`` is then the first one.
    """

    balance: BalanceSnapshot
    tier_facts: TierFacts
    transaction: Transaction | None = None
    allocated: bool = False
    replayed: bool = False


def result_of(result: OperationResult) -> Result:
    """Return the result of an operation, for its first call and for every replay."""
    return Result(
        balance=result.snapshot,
        tier_facts=result.tier_facts,
        transaction=optional_transaction(result),
        allocated=result.extras.get("allocated", False),
        replayed=result.replayed,
    )


def find_tier(code: str) -> Tier:
    """:raises TierNotFoundError: there is no such tier"""
    tier = Tier.objects.filter(pk=code).first()
    if tier is None:
        raise errors.TierNotFoundError(tier=code)
    return tier


def plan_entitlement_grant(
    balance: LockedBalance, request: RequestIdentity, entitlement: PeriodEntitlement, *, amount: int, **details: Any
) -> Transaction:
    """Plan a grant of ``amount`` credits for the period on a locked balance, with the tier's expiry and rollover."""
    if entitlement.is_over(balance.at):
        assert entitlement.roll_cap is not None
        return plan_expired_period_grant(
            balance, request, amount=amount, cap=entitlement.roll_cap, until=entitlement.roll_until, details=details
        )
    terms = {
        "expires_at": entitlement.expires_at,
        "roll_cap": entitlement.roll_cap,
        "roll_until": entitlement.roll_until,
    }
    return plan_grant(balance, request, amount=amount, kind="allocation", terms=terms, details=details)


def allocation_row(
    balance: LockedBalance,
    entitlement: PeriodEntitlement,
    transaction: Transaction | None,
    run: UUID | None,
    *,
    skipped: str = NOT_SKIPPED,
) -> dict[str, Any]:
    """Return the columns of the ``tiers.models.MonthlyAllocation`` that records the period."""
    return {
        "id": uuid7(),
        "balance_id": balance.state.id,
        "period": entitlement.period,
        "tier_id": entitlement.tier.code,
        "credits": transaction.amount if transaction else 0,
        "skipped": skipped,
        "transaction_id": transaction.id if transaction else None,
        "run_id": run,
        "starts_at": entitlement.starts_at,
        "ends_at": entitlement.ends_at,
        "allocated_at": balance.at,
    }


def period_description(entitlement: PeriodEntitlement) -> str:
    """Return the description of the transaction, which customers see in their history."""
    start, end = entitlement.starts_at.date(), entitlement.ends_at.date()
    return f"{entitlement.tier.name}: {_format_day(start)} to {_format_day(end)}"


# Cached because most subscriptions of a large run begin on the same few days.
@lru_cache(maxsize=1000)
def _format_day(day: date) -> str:
    return f"{day:%-d %B %Y}"
