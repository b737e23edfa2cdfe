"""The acts of staff, each a small declaration: what it is called, what it needs, what it does, what it says.

An act is carried out by an operation of the ledger or of the tiers, inside the database transaction of whoever calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from credits import operations, queries
from credits.domain import errors as refusals
from credits.models import CreditGrant, CreditHold, CreditTransaction, SpendingLimit
from fluxori.adminkit.read_only import format_credits, format_timestamp
from fluxori.console.actions import forms
from fluxori.console.models import Reason
from fluxori.core.errors import DomainError
from fluxori.identity.errors import UserNotFoundError
from fluxori.identity.models import Organization, User
from tiers import operations as tiers
from tiers import queries as promises

M = TypeVar("M", bound=Model)
Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Order:
    """One act as it is asked: by whom, on whose credits, on which row of the ledger, with what and why."""

    act: Act
    whom: User | Organization
    asked: dict[str, Any]
    actor: User
    at: datetime
    reason: str
    note: str = ""
    ticket: str = ""
    key: str = ""
    subject: UUID | None = None

    @property
    def terms(self) -> dict[str, Any]:
        """Return what every operation is told: who asks, when, and under which key, if any."""
        return {"actor": self.actor, "idempotency_key": self.key or None, "at": self.at}

    @property
    def why(self) -> str:
        """Return the reason that the ledger keeps, and the customer may read."""
        return Reason(self.reason).label


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an act came to. ``button`` and ``said`` name it, to come and done; ``nothing`` says why nothing happened."""

    button: str
    said: str
    transaction: CreditTransaction | None = None
    facts: Facts = field(default=())
    nothing: str = ""


class Act:
    """What all acts have. ``about`` is the kind of row it is about: transaction, grant, hold, or none."""

    code: ClassVar[str]
    title: ClassVar[str]
    icon: ClassVar[str]
    needs: ClassVar[str]
    form: ClassVar[type[forms.ActForm]] = forms.ActForm
    about: ClassVar[str] = ""
    opens_balance: ClassVar[bool] = False
    # Whether what it gives counts against a ceiling: what a tier promises does not.
    by_hand: ClassVar[bool] = True

    @property
    def permission(self) -> str:
        return f"console.{self.needs}"

    def initial(self, subject: Any) -> dict[str, Any]:
        """Return what the form shows first; ``subject`` is the row the act is about."""
        return {}

    def describe(self, subject: Any) -> str:
        """Return the row the act is about, in words."""
        return ""

    def carry_out(self, order: Order) -> Outcome:
        raise NotImplementedError


class AddCredits(Act):
    """Add credits to anyone's balance; where there is none, one is opened without a tier."""

    code, title, icon, needs = "add", "Add credits", "add", "add_credits"
    form = forms.AddCreditsForm
    opens_balance = True

    def carry_out(self, order: Order) -> Outcome:
        recorded = operations.add_credits(owner=order.whom, reason=order.why, **order.asked, **order.terms)
        credits = _counted(recorded.amount)
        facts = [
            ("Type", recorded.get_type_display()),
            ("The customer reads", order.asked["description"] or "No description"),
        ]
        if order.asked["unit_price"] is not None:
            facts.append(("Unit price", f"R{order.asked['unit_price']} a credit"))
        return Outcome(f"Add {credits} to {order.whom}", f"Added {credits} to {order.whom}", recorded, facts)


class Adjust(Act):
    code, title, icon, needs = "adjust", "Adjust", "tune", "adjust_credits"
    form = forms.AdjustForm

    def carry_out(self, order: Order) -> Outcome:
        recorded = operations.adjust_credits(
            owner=order.whom, amount=order.asked["amount"], reason=order.why, **order.terms
        )
        way = "up" if recorded.amount > 0 else "down"
        said = f"{order.whom} {way} by {_counted(recorded.amount)}"
        return Outcome(f"Adjust {said}", f"Adjusted {said}", recorded)


class Refund(Act):
    """Give back what a usage took, whole or in part."""

    code, title, icon, needs = "refund", "Refund", "undo", "refund_usage"
    form = forms.RefundForm
    about = "transaction"

    def initial(self, subject: CreditTransaction) -> dict[str, Any]:
        return {"amount": _left(subject) or ""}

    def describe(self, subject: CreditTransaction) -> str:
        return _movement(subject)

    def carry_out(self, order: Order) -> Outcome:
        assert order.subject is not None
        recorded = operations.refund_usage(transaction_id=order.subject, reason=order.why, **order.asked, **order.terms)
        credits = _counted(recorded.amount)
        gone = _gone_at_once(recorded)
        facts = [("Expired since, gone at once", format_credits(gone))] if gone else []
        return Outcome(f"Refund {credits} to {order.whom}", f"Refunded {credits} to {order.whom}", recorded, facts)


class Reverse(Act):
    """Take a purchase back, as after a chargeback."""

    code, title, icon, needs = "reverse", "Reverse a purchase", "currency_exchange", "reverse_purchase"
    form = forms.PartForm
    about = "transaction"

    def initial(self, subject: CreditTransaction) -> dict[str, Any]:
        return {"amount": _left(subject) or "", "reason": Reason.CHARGEBACK}

    def describe(self, subject: CreditTransaction) -> str:
        return _movement(subject)

    def carry_out(self, order: Order) -> Outcome:
        assert order.subject is not None
        recorded = operations.reverse_purchase(
            transaction_id=order.subject, amount=order.asked["amount"], reason=order.why, **order.terms
        )
        said = f"{_counted(order.asked['amount'])} bought by {order.whom}"
        return Outcome(f"Reverse {said}", f"Reversed {said}", recorded)


class VoidGrant(Act):
    code, title, icon, needs = "void", "Void a grant", "block", "void_grant"
    about = "grant"

    def describe(self, subject: CreditGrant) -> str:
        return _given(subject)

    def carry_out(self, order: Order) -> Outcome:
        assert order.subject is not None
        before = CreditGrant.objects.get(pk=order.subject)
        done = operations.void_grant(grant_id=before.pk, reason=order.why, **order.terms)
        taken = _counted(done.transaction.amount if done.transaction else 0)
        said = f"a grant of {order.whom}, taking {taken}"
        facts = []
        if before.held:
            facts = [("Held, leaves when the work ends", format_credits(before.held))]
        nothing = f"The grant was voided on {format_timestamp(before.voided_at)}." if before.voided_at else ""
        return Outcome(f"Void {said}", f"Voided {said}", done.transaction, facts, nothing)


class ExtendGrant(Act):
    code, title, icon, needs = "extend", "Extend a grant", "more_time", "extend_grant"
    form = forms.ExtendForm
    about = "grant"

    def describe(self, subject: CreditGrant) -> str:
        return _given(subject)

    def carry_out(self, order: Order) -> Outcome:
        assert order.subject is not None
        until = order.asked["expires_at"]
        recorded = operations.extend_grant(grant_id=order.subject, expires_at=until, reason=order.why, **order.terms)
        said = f"a grant of {order.whom} until {format_timestamp(until)}"
        moved = sum(entry.amount for entry in recorded.entries.all() if entry.amount > 0)
        facts = [("Credits that last longer", format_credits(moved))]
        return Outcome(f"Extend {said}", f"Extended {said}", recorded, facts)


class ReleaseHold(Act):
    code, title, icon, needs = "release", "Release a hold", "lock_open", "release_hold"
    about = "hold"

    def describe(self, subject: CreditHold) -> str:
        return f"Hold of {_counted(subject.amount)}, until {format_timestamp(subject.expires_at)}"

    def carry_out(self, order: Order) -> Outcome:
        assert order.subject is not None
        released = operations.release_hold(hold_id=order.subject, **order.terms)
        said = f"{_counted(released.amount)} held for {order.whom}"
        return Outcome(f"Release {said}", f"Released {said}")


class ChangeTier(Act):
    code, title, icon, needs = "tier", "Change tier", "stairs", "change_tier"
    form = forms.TierForm

    def carry_out(self, order: Order) -> Outcome:
        before = promises.tier_facts(owner=order.whom, at=order.at)
        done = tiers.update_subscription_tier(owner=order.whom, **order.asked, **order.terms)
        later = "" if order.asked["effective"] == "now" else " from the next month on"
        said = f"{order.whom} to {order.asked['tier']}{later}"
        nothing = f"{order.whom} is on {before['tier']} already." if before == done.alongside else ""
        return Outcome(f"Change {said}", f"Changed {said}", done.transaction, nothing=nothing)


class KeepTier(Act):
    """Cancel the change of tier that is scheduled for the next period."""

    code, title, icon, needs = "keep-tier", "Cancel the scheduled change of tier", "event_busy", "change_tier"

    def carry_out(self, order: Order) -> Outcome:
        done = tiers.cancel_scheduled_change(owner=order.whom, **order.terms)
        said = f"{order.whom} on {done.alongside['tier']}"
        return Outcome(f"Keep {said}", f"Kept {said}", done.transaction)


class AllocateMonth(Act):
    """Give a balance its tier's credits for the month under way, where it has not had them."""

    code, title, icon, needs = "allocate", "Allocate the month", "event_repeat", "allocate_month"
    by_hand = False

    def carry_out(self, order: Order) -> Outcome:
        done = tiers.add_monthly_allocation(owner=order.whom, reason=order.why, **order.terms)
        given = done.transaction if done.allocated else None
        said = f"{_counted(given.amount if given else 0)} to {order.whom}"
        nothing = "" if done.allocated else "This month was allocated already."
        return Outcome(f"Allocate {said}", f"Allocated {said}", given, nothing=nothing)


class SetLimit(Act):
    """Let at most so many credits be used in a day or a month, by all or by one member."""

    code, title, icon, needs = "limit", "Set a limit", "speed", "limit_spending"
    form = forms.LimitForm

    def carry_out(self, order: Order) -> Outcome:
        amount, period = order.asked["amount"], order.asked["period"]
        member = _member(order.asked["member"])
        before = {(row.period, row.member_id): row.amount for row in queries.get_limits(owner=order.whom)}
        done = operations.set_limit(owner=order.whom, amount=amount, period=period, member=member, **order.terms)
        nothing = "This limit is in force already." if before.get((period, done.limit.member_id)) == amount else ""
        said = f"{order.asked['member'] or order.whom} to {_counted(amount)} a {period}"
        facts = [("Used of it", f"{done.limit.used:,}, until {format_timestamp(done.limit.resets_at)}")]
        return Outcome(f"Limit {said}", f"Limited {said}", facts=facts, nothing=nothing)


class RemoveLimit(Act):
    code, title, icon, needs = "unlimit", "Remove a limit", "all_inclusive", "limit_spending"
    about = "limit"

    def describe(self, subject: SpendingLimit) -> str:
        whose = "the balance" if subject.member_id is None else str(User.objects.get(pk=subject.member_id))
        return f"Limit of {whose}: {_counted(subject.amount)} a {subject.period}"

    def carry_out(self, order: Order) -> Outcome:
        assert order.subject is not None
        done = operations.remove_limit(limit_id=order.subject, **order.terms)
        said = f"the limit of {_counted(done.limit.amount)} a {done.limit.period} from {order.whom}"
        return Outcome(f"Remove {said}", f"Removed {said}")


class Suspend(Act):
    code, title, icon, needs = "suspend", "Suspend spending", "pause_circle", "suspend_spending"

    def carry_out(self, order: Order) -> Outcome:
        before = queries.find_balance(order.whom)
        operations.suspend_spending(owner=order.whom, **order.terms)
        nothing = "Spending is suspended already." if before and before.suspended_at else ""
        said = f"spending of {order.whom}"
        return Outcome(f"Suspend {said}", f"Suspended {said}", nothing=nothing)


class Resume(Act):
    code, title, icon, needs = "resume", "Resume spending", "play_circle", "suspend_spending"

    def carry_out(self, order: Order) -> Outcome:
        before = queries.find_balance(order.whom)
        operations.resume_spending(owner=order.whom, **order.terms)
        nothing = "Spending is not suspended." if before and not before.suspended_at else ""
        said = f"spending of {order.whom}"
        return Outcome(f"Resume {said}", f"Resumed {said}", nothing=nothing)


ACTS: dict[str, Act] = {
    act.code: act
    for act in (
        AddCredits(),
        Adjust(),
        Refund(),
        Reverse(),
        VoidGrant(),
        ExtendGrant(),
        ReleaseHold(),
        ChangeTier(),
        KeepTier(),
        AllocateMonth(),
        SetLimit(),
        RemoveLimit(),
        Suspend(),
        Resume(),
    )
}


def allowed(staff: Any) -> dict[str, bool]:
    """Return for each act, by its code, whether this member of staff may do it, or ask for it."""
    return {code: staff.has_perm(act.permission) for code, act in ACTS.items()}


def subject_of(act: Act, owner_id: UUID, key: UUID) -> CreditTransaction | CreditGrant | CreditHold | SpendingLimit:
    """Return the row an act is about.

    :raises TransactionNotFoundError: if the balance has no such transaction
    :raises GrantNotFoundError: if it has no such grant
    :raises HoldNotFoundError: if it has no such hold
    :raises LimitNotFoundError: if it has no such limit in force
    """
    if act.about == "transaction":
        return _found(CreditTransaction.objects.filter(balance=owner_id, pk=key), refusals.TransactionNotFoundError)
    if act.about == "grant":
        return _found(CreditGrant.objects.filter(balance=owner_id, pk=key), refusals.GrantNotFoundError)
    if act.about == "hold":
        return _found(CreditHold.objects.filter(balance=owner_id, pk=key), refusals.HoldNotFoundError)
    in_force = SpendingLimit.objects.filter(balance=owner_id, pk=key, removed_at=None)
    return _found(in_force, lambda: refusals.LimitNotFoundError(limit_id=key))


def _found(rows: QuerySet[M], missing: Callable[[], DomainError]) -> M:
    row = rows.first()
    if row is None:
        raise missing()
    return row


def _member(email: str) -> User | None:
    """:raises UserNotFoundError: if nobody has this address"""
    if not email:
        return None
    found = User.objects.filter(email=email.lower()).first()
    if found is None:
        raise UserNotFoundError
    return found


def _counted(amount: int) -> str:
    amount = abs(amount)
    return f"{amount:,} credit" if amount == 1 else f"{amount:,} credits"


def _left(subject: CreditTransaction) -> int:
    found, corrected = queries.get_correction_state(transaction_id=subject.pk)
    return abs(found.amount) - corrected


def _movement(subject: CreditTransaction) -> str:
    what = f"{subject.get_type_display()} of {_counted(subject.amount)} on {format_timestamp(subject.timestamp)}"
    left = _left(subject)
    rest = "" if left == abs(subject.amount) else f", {format_credits(left)} not put right yet"
    return f"{what}: {subject.description}{rest}" if subject.description else f"{what}{rest}"


def _given(subject: CreditGrant) -> str:
    expires = f"expires {format_timestamp(subject.expires_at)}" if subject.expires_at else "never expires"
    given = f"{subject.get_source_display()} of {_counted(subject.amount)}"
    return f"{given}, {format_credits(subject.remaining)} left, {expires}"


def _gone_at_once(refund: CreditTransaction) -> int:
    """Return how many credits of a refund left again at its very instant, having expired meanwhile."""
    after = CreditTransaction.objects.filter(
        balance=refund.balance_id, sequence__gt=refund.sequence, timestamp=refund.timestamp, type__in=["expiry", "void"]
    )
    return -sum(after.values_list("amount", flat=True))
