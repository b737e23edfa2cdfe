"""The ledger row that a staff action is about."""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from credits.domain import errors
from credits.models import CreditGrant, CreditHold, CreditTransaction, SpendingLimit
from fluxori.console.actions.base import Action
from fluxori.core.errors import DomainError

M = TypeVar("M", bound=Model)
Subject = CreditTransaction | CreditGrant | CreditHold | SpendingLimit


def get_subject(action: Action, *, owner_id: UUID, subject_id: UUID) -> Subject:
    """Return the row that an action is about.

    :raises TransactionNotFoundError: the balance has no such transaction
    :raises GrantNotFoundError: the balance has no such grant
    :raises HoldNotFoundError: the balance has no such hold
    :raises LimitNotFoundError: the balance has no such limit in force
    """
    if action.subject_model == "transaction":
        transactions = CreditTransaction.objects.filter(balance=owner_id, pk=subject_id)
        return _first_or_raise(transactions, errors.TransactionNotFoundError)
    if action.subject_model == "grant":
        grants = CreditGrant.objects.filter(balance=owner_id, pk=subject_id)
        return _first_or_raise(grants, errors.GrantNotFoundError)
    if action.subject_model == "hold":
        holds = CreditHold.objects.filter(balance=owner_id, pk=subject_id)
        return _first_or_raise(holds, errors.HoldNotFoundError)
    limits = SpendingLimit.objects.filter(balance=owner_id, pk=subject_id, removed_at=None)
    return _first_or_raise(limits, lambda: errors.LimitNotFoundError(limit_id=subject_id))


def _first_or_raise(rows: QuerySet[M], error: Callable[[], DomainError]) -> M:
    row = rows.first()
    if row is None:
        raise error()
    return row
