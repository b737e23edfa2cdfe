"""Compute a balance again from its history, and repair the rows that differ."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pgtrigger
from django.db import IntegrityError, connection, models, transaction

from credits.arguments import resolve_timestamp
from credits.domain.errors import BalanceNotFoundError
from credits.engine.corrections import correction_validator
from credits.models import (
    BalanceRepair,
    CreditBalance,
    CreditGrant,
    CreditRollup,
    CreditTotal,
    SpendingLimit,
    UsageWatermark,
)
from credits.verification import Difference, verify_balance
from fluxori.db import statements
from fluxori.db.deadlines import long_statements
from fluxori.db.transactions import transaction_with_retry

_SQL = Path(__file__).parents[1] / "engine" / "sql" / "rebuild"


def _read(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


# The rows that history determines: the name of a row, its model, and the statement that computes its columns.
_PARTS: tuple[tuple[str, type[models.Model], str], ...] = (
    ("balance", CreditBalance, _read("balance")),
    ("grant", CreditGrant, _read("grants")),
    ("limit", SpendingLimit, _read("limits")),
)
_TOTALS = _read("totals")
_USAGE_RULES = {"rollups_match_ledger", "watermark_within_ledger"}


@dataclass(frozen=True, slots=True)
class Change:
    """One column that differs from what history determines. Values are those of JSON."""

    row: str
    id: UUID
    column: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """What differs, whether it was written, and the differences that a repair would leave: damage of the history."""

    balance_id: UUID
    changes: tuple[Change, ...] = ()
    damage: tuple[Difference, ...] = ()
    applied: bool = False


class NotOwnerError(Exception):
    """The database role may not repair balances: only the owner of the tables may."""


@dataclass(slots=True)
class _Repair:
    """The repair of one locked balance. ``run`` changes the rows; the caller commits or rolls back."""

    balance_id: UUID
    changes: list[Change] = field(default_factory=list)

    def run(self) -> tuple[Difference, ...]:
        """Change every row that differs, and return the differences that are left."""
        for name, model, sql in _PARTS:
            for computed in statements.fetch(sql, {"balance": self.balance_id}):
                self._repair_row(name, model, computed.pop("id"), computed)
        differences = verify_balance(self.balance_id).differences
        if any(difference.rule in _USAGE_RULES for difference in differences):
            self._reset_usage()
            differences = verify_balance(self.balance_id).differences
        return differences

    def _repair_row(self, name: str, model: type[models.Model], key: UUID, computed: dict[str, Any]) -> None:
        row = model._default_manager.filter(pk=key)  # noqa: SLF001 - Django documents it
        stored: dict[str, Any] = row.values(*computed).get()
        different = {
            column: value for column, value in computed.items() if _comparable(stored[column]) != _comparable(value)
        }
        if different:
            # The savepoint is inside: the trigger is enabled again by a statement, which needs an intact transaction.
            with pgtrigger.ignore("credits.CreditBalance:balance_monotonic"), transaction.atomic():
                row.update(**different)
            for column, value in different.items():
                self.changes.append(Change(name, key, column, _as_json(stored[column]), _as_json(value)))

    def _reset_usage(self) -> None:
        """Remove the roll-ups of the balance, so that the next aggregation computes them again.

        Reports of usage stay exact: without roll-ups they read the ledger.
        """
        watermark = UsageWatermark.objects.select_for_update(no_key=True).filter(pk=self.balance_id)
        for sequence in list(watermark.values_list("sequence", flat=True)):
            self.changes.append(Change("watermark", self.balance_id, "sequence", sequence, 0))
        with connection.cursor() as cursor:
            # An aggregation that adds to the totals ends first, and the next one waits.
            cursor.execute("LOCK TABLE credits_credittotal IN SHARE ROW EXCLUSIVE MODE")
        watermark.update(sequence=0)
        CreditRollup.objects.filter(balance_id=self.balance_id).delete()
        CreditTotal.objects.all().delete()
        statements.execute(_TOTALS, {})


@transaction_with_retry
def rebuild_balance(
    *, balance_id: UUID, apply: bool = False, reason: str = "", at: datetime | None = None
) -> RebuildResult:
    """Compute the balance, its grants, the counters of its limits and its roll-ups from its history.

    Without ``apply`` nothing is written, and the result shows what would be. With it the rows are repaired and the
    repair is recorded with its ``reason``, all of it or nothing: if the history itself is damaged, so that a rule of
    ``verify_ledger`` would still report a difference, nothing is written. The balance is locked.

    :raises InvalidArgumentError: ``apply`` without a reason, or the reason is too long
    :raises NotOwnerError: ``apply``, and the database role does not own the tables
    :raises BalanceNotFoundError: there is no such balance
    """
    if apply:
        correction_validator(reason).raise_if_invalid()
        _require_owner()
    locked = CreditBalance.objects.select_for_update(no_key=True).filter(pk=balance_id)
    if not list(locked.values_list("pk")):
        raise BalanceNotFoundError
    repair = _Repair(balance_id)
    # One balance may have a long history.
    with long_statements():
        try:
            with transaction.atomic():
                damage = repair.run()
                if damage or not apply:
                    transaction.set_rollback(True)
                elif repair.changes:
                    _record(repair, reason, resolve_timestamp(at))
        except IntegrityError:
            # History adds up to what a constraint rejects, such as a grant with less than nothing.
            damage = verify_balance(balance_id).differences
    is_applied = apply and bool(repair.changes) and not damage
    return RebuildResult(balance_id, tuple(repair.changes), damage, applied=is_applied)


def _require_owner() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('credits_balancerepair', 'INSERT')")
        if cursor.fetchone() != (True,):
            raise NotOwnerError


def _record(repair: _Repair, reason: str, at: datetime) -> None:
    CreditBalance.objects.filter(pk=repair.balance_id).update(version=models.F("version") + 1)
    with pgtrigger.ignore("credits.BalanceRepair:repair_by_owner"), transaction.atomic():
        BalanceRepair.objects.create(
            balance_id=repair.balance_id,
            reason=reason,
            before=_values(repair.changes, "before"),
            after=_values(repair.changes, "after"),
            at=at,
        )


def _values(changes: Sequence[Change], name: str) -> list[dict[str, Any]]:
    return [
        {"row": each.row, "id": str(each.id), "column": each.column, "value": getattr(each, name)} for each in changes
    ]


def _comparable(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return value.isoformat() if isinstance(value, datetime) else value
