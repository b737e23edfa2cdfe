"""Staff actions on spending limits."""

from credits import operations, queries
from credits.models import SpendingLimit
from fluxori.adminkit.formatting import format_credit_count, format_timestamp
from fluxori.console.actions import forms
from fluxori.console.actions.base import Action, ActionRequest, Outcome
from fluxori.identity.errors import UserNotFoundError
from fluxori.identity.models import User


class SetLimit(Action):
    """Limit the credits that all members together, or one member, may use in a day or a month."""

    code, title, icon = "set_limit", "Set a limit", "speed"
    permission = "console.limit_spending"
    form = forms.LimitForm

    def execute(self, request: ActionRequest) -> Outcome:
        amount, period = request.arguments["amount"], request.arguments["period"]
        member = _find_member(request.arguments["member"])
        before = {(limit.period, limit.member_id): limit.amount for limit in queries.get_limits(owner=request.owner)}
        result = operations.set_limit(
            owner=request.owner, amount=amount, period=period, member=member, **request.common_arguments
        )
        limit = result.limit
        reason = "This limit is already in force." if before.get((period, limit.member_id)) == amount else ""
        target = f"{request.arguments['member'] or request.owner} to {format_credit_count(amount)} per {period}"
        facts = [("Already used", f"{limit.used:,}; the period ends {format_timestamp(limit.resets_at)}")]
        return Outcome(f"Limit {target}", f"Limited {target}", facts=facts, no_op_reason=reason)


class RemoveLimit(Action):
    """Remove a limit that is in force."""

    code, title, icon = "remove_limit", "Remove a limit", "all_inclusive"
    permission = "console.limit_spending"
    subject_model = "limit"

    def describe(self, subject: SpendingLimit) -> str:
        holder = "the balance" if subject.member_id is None else str(User.objects.get(pk=subject.member_id))
        return f"Limit of {holder}: {format_credit_count(subject.amount)} per {subject.period}"

    def execute(self, request: ActionRequest) -> Outcome:
        result = operations.remove_limit(limit_id=request.required_subject_id, **request.common_arguments)
        limit = result.limit
        target = f"the limit of {format_credit_count(limit.amount)} per {limit.period} from {request.owner}"
        return Outcome(f"Remove {target}", f"Removed {target}")


def _find_member(email: str) -> User | None:
    """Return the user with this address, or None for an empty address.

    :raises UserNotFoundError: no user has this address
    """
    if not email:
        return None
    user = User.objects.filter(email=email).first()
    if user is None:
        raise UserNotFoundError
    return user
