"""What a tier promises for one period, and how the grant that keeps it is written."""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any
from uuid import UUID

from credits.domain.records import BalanceSnapshot, Transaction
from credits.engine.idempotency import IdempotentRequest
from credits.engine.locked_balance import LockedBalance, OperationResult
from credits.engine.plan_grants import plan_expired_period_grant, plan_grant
from credits.engine.results import optional_transaction
from credits.tier_registry import TierFacts
from fluxori.core.ids import uuid7
from tiers.domain import errors
from tiers.domain.subscription_timeline import PeriodEntitlement
from tiers.models import Tier


@dataclass(frozen=True, slots=True)
class Result:
    """What a verb of the tiers did: the balance ``after`` it, the tier facts, and the grant where there was one.

    ``allocated`` is False where the period had its credits already; ``transaction`` is then the first one.
    """

    balance: BalanceSnapshot
    tier_facts: TierFacts
    transaction: Transaction | None = None
    allocated: bool = False
    replayed: bool = False


def result_of(answer: OperationResult) -> Result:
    """Return the verb's result, the first time and on every replay."""
    return Result(
        balance=answer.balance,
        tier_facts=answer.tier_facts,
        transaction=optional_transaction(answer),
        allocated=answer.extras.get("allocated", False),
        replayed=answer.replayed,
    )


def find_tier(code: str) -> Tier:
    """:raises TierNotFoundError: if there is no such tier"""
    tier = Tier.objects.filter(pk=code).first()
    if tier is None:
        raise errors.TierNotFoundError(tier=code)
    return tier


def keep(
    page: LockedBalance, request: IdempotentRequest, promise: PeriodEntitlement, *, amount: int, **facts: Any
) -> Transaction:
    """Plan a grant of ``amount`` credits for the promised period on an open page, on the terms of its tier."""
    if promise.over(page.at):
        assert promise.roll_cap is not None
        return plan_expired_period_grant(
            page, request, amount=amount, cap=promise.roll_cap, until=promise.roll_until, details=facts
        )
    terms = {"expires_at": promise.expires_at, "roll_cap": promise.roll_cap, "roll_until": promise.roll_until}
    return plan_grant(page, request, amount=amount, kind="allocation", terms=terms, details=facts)


def allocation_row(
    page: LockedBalance, promise: PeriodEntitlement, transaction: Transaction | None, run: UUID | None
) -> dict[str, Any]:
    """Return the columns of the record that the period was looked after; see ``tiers.models.MonthlyAllocation``."""
    return {
        "id": uuid7(),
        "balance_id": page.state.id,
        "period": promise.period,
        "tier_id": promise.tier.code,
        "credits": transaction.amount if transaction else 0,
        "transaction_id": transaction.id if transaction else None,
        "run_id": run,
        "starts_at": promise.starts_at,
        "ends_at": promise.ends_at,
        "allocated_at": page.at,
    }


def describe(promise: PeriodEntitlement) -> str:
    """Return what the customer reads in the history."""
    return f"{promise.tier.name}: {_day(promise.starts_at.date())} to {_day(promise.ends_at.date())}"


@lru_cache(maxsize=1000)
def _day(day: date) -> str:
    # Of very many subscriptions most begin on the same few days.
    return f"{day:%-d %B %Y}"
