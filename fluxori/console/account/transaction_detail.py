"""The page of one transaction: why the credits moved, which grants they came from, and what was corrected."""

import json
from dataclasses import dataclass
from typing import Any

from credits.admin.owners import owner_name
from credits.models import CreditEntry, CreditGrant, CreditHold, CreditTransaction, Feature, FeaturePrice
from fluxori.console.account.corrections import TransactionWithCorrections
from fluxori.identity.models import User

_EXPLANATIONS = {
    "allocation": "allocated for a month of the subscription",
    "purchase": "purchased",
    "promotion": "given as a promotion",
    "refund": "refunded",
    "reversal": "taken back from a purchase",
    "expiry": "expired unspent",
    "void": "removed when a grant was voided",
    "adjustment": "adjusted by staff",
    "rollover": "rolled over to the next period",
    "transfer": "moved between two balances",
}


@dataclass(frozen=True, slots=True)
class EntryRow:
    """The share of the transaction that one grant has, or debt if ``grant`` is None."""

    entry: CreditEntry
    grant: CreditGrant | None


def transaction_context(transaction: CreditTransaction) -> dict[str, Any]:
    """Return the template context for a transaction that ``queries.get_transaction`` has read."""
    feature = Feature.objects.filter(pk=transaction.feature_id).first() if transaction.feature_id else None
    users = User.objects.in_bulk([key for key in (transaction.actor_id, transaction.member_id) if key])
    same_balance = CreditTransaction.objects.filter(balance=transaction.balance_id)
    corrects = same_balance.filter(pk=transaction.reverses_id).first() if transaction.reverses_id else None
    counterpart = None
    if transaction.counterpart_id is not None:
        in_other_balance = CreditTransaction.objects.filter(pk=transaction.counterpart_id)
        counterpart = in_other_balance.select_related("balance__user", "balance__organization").first()
    hold = None
    if transaction.hold_id is not None:
        hold = CreditHold.objects.filter(balance=transaction.balance_id, pk=transaction.hold_id).first()
    return {
        "title": f"{transaction.get_type_display()} of {abs(transaction.amount):,} credits",
        "row": transaction,
        "owner": owner_name(transaction.balance),
        "explanation": _explanation(transaction, feature),
        "feature": feature,
        "price_version": _price_version(transaction),
        "actor": users.get(transaction.actor_id) if transaction.actor_id else None,
        "member": users.get(transaction.member_id) if transaction.member_id else None,
        "corrections": TransactionWithCorrections(transaction, feature, corrects, list(transaction.reversed_by.all())),
        "counterpart": counterpart,
        "counterpart_owner": owner_name(counterpart.balance) if counterpart else "",
        "entries": [EntryRow(entry, entry.grant) for entry in transaction.entries.all()],
        "hold": hold,
        "previous": same_balance.filter(sequence=transaction.sequence - 1).first(),
        "next": same_balance.filter(sequence=transaction.sequence + 1).first(),
        "metadata": _indent_json(transaction.metadata),
        "hash": bytes(transaction.hash).hex(),
        "previous_hash": bytes(transaction.previous_hash).hex(),
    }


def _explanation(transaction: CreditTransaction, feature: Feature | None) -> str:
    """Return the reason for which the credits moved."""
    if transaction.type != CreditTransaction.Type.USAGE:
        return _EXPLANATIONS[transaction.type]
    if feature is None or transaction.price is None:
        return f"spent on: {transaction.description}"
    price = f"{transaction.price.credits:,} credits per {feature.unit}"
    return f"{transaction.quantity:,} \u00d7 {feature.name}, at {price}"


def _price_version(transaction: CreditTransaction) -> int | None:
    """Return the number of the feature price that was charged: 1 is the first price of the feature."""
    if transaction.price is None:
        return None
    return FeaturePrice.objects.filter(
        feature=transaction.feature_id, effective_from__lte=transaction.price.effective_from
    ).count()


def _indent_json(text: str | None) -> str:
    return "" if text is None else json.dumps(json.loads(text), indent=2, ensure_ascii=False)
