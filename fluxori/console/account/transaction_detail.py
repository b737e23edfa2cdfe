"""What the page of one transaction says: enough to answer "why was I charged 40 on Tuesday?" at a glance."""

import json
from dataclasses import dataclass
from typing import Any

from credits.admin.owners import name_of
from credits.models import CreditEntry, CreditGrant, CreditHold, CreditTransaction, Feature, FeaturePrice
from fluxori.console.account.page import Movement
from fluxori.identity.models import User

_SENTENCES = {
    "allocation": "given for a month of the subscription",
    "purchase": "bought",
    "promotion": "given as a promotion",
    "refund": "given back",
    "reversal": "taken back from a purchase",
    "expiry": "expired unspent",
    "void": "taken away when a grant was voided",
    "adjustment": "put right by hand",
    "rollover": "carried over to the next period",
}


@dataclass(frozen=True, slots=True)
class Part:
    """The share of the transaction that fell on one grant, or on debt."""

    entry: CreditEntry
    grant: CreditGrant | None


def explained(found: CreditTransaction) -> dict[str, Any]:
    """Return the context of the page of a transaction read by ``queries.get_transaction``."""
    feature = Feature.objects.filter(pk=found.feature_id).first() if found.feature_id else None
    users = User.objects.in_bulk([key for key in (found.actor_id, found.member_id) if key])
    here = CreditTransaction.objects.filter(balance=found.balance_id)
    corrects = here.filter(pk=found.reverses_id).first() if found.reverses_id else None
    movement = Movement(found, feature, corrects, list(found.reversed_by.all()))
    return {
        "title": f"{found.get_type_display()} of {abs(found.amount):,} credits",
        "row": found,
        "owner": name_of(found.balance),
        "why": _why(found, feature),
        "feature": feature,
        "version": _version(found),
        "by": users.get(found.actor_id) if found.actor_id else None,
        "whom": users.get(found.member_id) if found.member_id else None,
        "movement": movement,
        "parts": [Part(entry, entry.grant) for entry in found.entries.all()],
        "opened": list(CreditGrant.objects.filter(balance=found.balance_id, transaction=found.pk).order_by("pk")),
        "hold": CreditHold.objects.filter(balance=found.balance_id, pk=found.hold_id).first()
        if found.hold_id
        else None,
        "before": here.filter(sequence=found.sequence - 1).first(),
        "after": here.filter(sequence=found.sequence + 1).first(),
        "metadata": _pretty(found.metadata),
        "hash": bytes(found.hash).hex(),
        "previous_hash": bytes(found.previous_hash).hex(),
    }


def _why(found: CreditTransaction, feature: Feature | None) -> str:
    """Return in words what the credits moved for."""
    if found.type != CreditTransaction.Type.USAGE:
        return _SENTENCES[found.type]
    if feature is None or found.price is None:
        return f"spent on: {found.description}"
    return f"{found.quantity:,} \u00d7 {feature.name}, at {found.price.credits:,} credits a {feature.unit}"


def _version(found: CreditTransaction) -> int | None:
    """Return which price of its feature was charged, counted from the first."""
    if found.price is None:
        return None
    return FeaturePrice.objects.filter(feature=found.feature_id, effective_from__lte=found.price.effective_from).count()


def _pretty(metadata: str | None) -> str:
    return "" if metadata is None else json.dumps(json.loads(metadata), indent=2, ensure_ascii=False)
