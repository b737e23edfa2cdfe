"""Staff actions that add credits, adjust a balance, transfer, refund usage and reverse purchases."""

from typing import Any

from credits import operations, queries
from credits.domain.records import Transaction
from credits.models import CreditTransaction
from fluxori.adminkit.formatting import format_credit_count, format_credits, format_timestamp
from fluxori.console.actions import forms
from fluxori.console.actions.base import Action, ActionRequest, Outcome
from fluxori.console.actions.owners import find_owner
from fluxori.console.models import Reason


class AddCredits(Action):
    """Add credits to a balance. An owner without a balance gets one, without a tier."""

    code, title, icon = "add", "Add credits", "add"
    permission = "console.add_credits"
    form = forms.AddCreditsForm
    opens_balance = True

    def execute(self, request: ActionRequest) -> Outcome:
        transaction = operations.add_credits(
            owner=request.owner, reason=request.reason_label, **request.arguments, **request.common_arguments
        ).transaction
        target = f"{format_credit_count(transaction.amount)} to {request.owner}"
        facts = [
            ("Type", CreditTransaction.Type(transaction.type).label),
            ("Description for the customer", request.arguments["description"] or "None"),
        ]
        if request.arguments["unit_price"] is not None:
            facts.append(("Unit price", f"R{request.arguments['unit_price']} per credit"))
        return Outcome(f"Add {target}", f"Added {target}", transaction, facts)


class AdjustCredits(Action):
    """Adjust a balance up or down."""

    code, title, icon = "adjust", "Adjust", "tune"
    permission = "console.adjust_credits"
    form = forms.AdjustForm

    def execute(self, request: ActionRequest) -> Outcome:
        transaction = operations.adjust_credits(
            owner=request.owner,
            amount=request.arguments["amount"],
            reason=request.reason_label,
            **request.common_arguments,
        ).transaction
        direction = "up" if transaction.amount > 0 else "down"
        target = f"{request.owner} {direction} by {format_credit_count(transaction.amount)}"
        return Outcome(f"Adjust {target}", f"Adjusted {target}", transaction)


class TransferCredits(Action):
    """Move credits to the balance of another owner. It needs the permission to adjust a balance, which does as much."""

    code, title, icon = "transfer", "Transfer", "swap_horiz"
    permission = "console.adjust_credits"
    form = forms.TransferForm

    def execute(self, request: ActionRequest) -> Outcome:
        recipient = find_owner(request.arguments["to"])
        result = operations.transfer_credits(
            source=request.owner,
            target=recipient,
            amount=request.arguments["amount"],
            reason=request.reason_label,
            **request.common_arguments,
        )
        received = result.target
        before = received.balance.balance - received.transaction.amount
        target = f"{format_credit_count(received.transaction.amount)} from {request.owner} to {recipient}"
        facts = [(f"Balance of {recipient}", f"{format_credits(before)} → {format_credits(received.balance.balance)}")]
        return Outcome(f"Transfer {target}", f"Transferred {target}", result.source.transaction, facts)


class RefundUsage(Action):
    """Return the credits of a usage, all or in part."""

    code, title, icon = "refund", "Refund", "undo"
    permission = "console.refund_usage"
    form = forms.RefundForm
    subject_model = "transaction"

    def initial(self, subject: CreditTransaction) -> dict[str, Any]:
        return {"amount": _uncorrected_amount(subject) or ""}

    def describe(self, subject: CreditTransaction) -> str:
        return _describe_transaction(subject)

    def execute(self, request: ActionRequest) -> Outcome:
        transaction = operations.refund_usage(
            transaction_id=request.required_subject_id,
            reason=request.reason_label,
            **request.arguments,
            **request.common_arguments,
        ).transaction
        target = f"{format_credit_count(transaction.amount)} to {request.owner}"
        expired = _expired_at_once(transaction)
        facts = [("Expired, removed at once", format_credits(expired))] if expired else []
        return Outcome(f"Refund {target}", f"Refunded {target}", transaction, facts)


class ReversePurchase(Action):
    """Take back the credits of a purchase, for example after a chargeback."""

    code, title, icon = "reverse", "Reverse a purchase", "currency_exchange"
    permission = "console.reverse_purchase"
    form = forms.CorrectionForm
    subject_model = "transaction"

    def initial(self, subject: CreditTransaction) -> dict[str, Any]:
        return {"amount": _uncorrected_amount(subject) or "", "reason": Reason.CHARGEBACK}

    def describe(self, subject: CreditTransaction) -> str:
        return _describe_transaction(subject)

    def execute(self, request: ActionRequest) -> Outcome:
        transaction = operations.reverse_purchase(
            transaction_id=request.required_subject_id,
            amount=request.arguments["amount"],
            reason=request.reason_label,
            **request.common_arguments,
        ).transaction
        target = f"{format_credit_count(request.arguments['amount'])} bought by {request.owner}"
        return Outcome(f"Reverse {target}", f"Reversed {target}", transaction)


def _uncorrected_amount(transaction: CreditTransaction) -> int:
    """Return how many credits of a usage are not refunded yet, or of a purchase not reversed yet."""
    original, corrected = queries.get_correction_state(transaction_id=transaction.pk)
    return abs(original.amount) - corrected


def _describe_transaction(transaction: CreditTransaction) -> str:
    amount, timestamp = format_credit_count(transaction.amount), format_timestamp(transaction.timestamp)
    text = f"{transaction.get_type_display()} of {amount} on {timestamp}"
    if transaction.description:
        text = f"{text}: {transaction.description}"
    left = _uncorrected_amount(transaction)
    return text if left == abs(transaction.amount) else f"{text}, {format_credits(left)} not corrected yet"


def _expired_at_once(refund: Transaction) -> int:
    """Return how many credits of a refund expired or were voided at once, because their grants had ended before."""
    ended = CreditTransaction.objects.filter(
        balance=refund.balance_id, sequence__gt=refund.sequence, timestamp=refund.timestamp, type__in=["expiry", "void"]
    )
    return -sum(ended.values_list("amount", flat=True))
