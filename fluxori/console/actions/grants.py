"""Staff actions on grants."""

from credits import operations, queries
from credits.models import CreditGrant
from fluxori.adminkit.formatting import (
    describe_expiry,
    format_credit_count,
    format_credits,
    format_timestamp,
    is_never,
)
from fluxori.console.actions import forms
from fluxori.console.actions.base import Action, ActionRequest, Outcome
from fluxori.core import clock


class VoidGrant(Action):
    """Take away what remains of a grant."""

    code, title, icon = "void", "Void a grant", "block"
    permission = "console.void_grant"
    subject_model = "grant"

    def describe(self, subject: CreditGrant) -> str:
        return _describe_grant(subject)

    def execute(self, request: ActionRequest) -> Outcome:
        grant = CreditGrant.objects.get(pk=request.required_subject_id)
        result = operations.void_grant(grant_id=grant.pk, reason=request.reason_label, **request.common_arguments)
        amount = format_credit_count(result.transaction.amount if result.transaction else 0)
        target = f"a grant of {request.owner}, removing {amount}"
        facts = [("Held, removed when the hold ends", format_credits(grant.held))] if grant.held else []
        reason = f"The grant was voided on {format_timestamp(grant.voided_at)}." if grant.voided_at else ""
        return Outcome(f"Void {target}", f"Voided {target}", result.transaction, facts, reason)


class ExtendGrant(Action):
    """Give what remains of a grant a later expiry."""

    code, title, icon = "extend", "Extend a grant", "more_time"
    permission = "console.extend_grant"
    form = forms.ExtendForm
    subject_model = "grant"

    def describe(self, subject: CreditGrant) -> str:
        return _describe_grant(subject)

    def execute(self, request: ActionRequest) -> Outcome:
        expires_at = request.arguments["expires_at"]
        transaction = operations.extend_grant(
            grant_id=request.required_subject_id,
            expires_at=expires_at,
            reason=request.reason_label,
            **request.common_arguments,
        ).transaction
        until = "without an expiry" if is_never(expires_at) else f"until {format_timestamp(expires_at)}"
        target = f"a grant of {request.owner} {until}"
        extended = sum(entry.amount for entry in transaction.entries if entry.amount > 0)
        return Outcome(
            f"Extend {target}", f"Extended {target}", transaction, [("Credits extended", format_credits(extended))]
        )


def _describe_grant(grant: CreditGrant) -> str:
    queries.settle_grants([grant], at=clock.now())
    amount = f"{grant.get_source_display()} of {format_credit_count(grant.amount)}"
    return f"{amount}, {format_credits(grant.remaining)} left, {describe_expiry(grant.expires_at)}"
