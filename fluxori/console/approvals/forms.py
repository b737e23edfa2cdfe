"""The form with which staff decide on an approval request."""

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget

from fluxori.console.actions import constants
from fluxori.console.forms import DomainErrorForm


class DecisionField(forms.ChoiceField):
    """One decision. A form that sends several values, equal ones included, is invalid."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: list[str] | None) -> str:
        if len(value or []) > 1:
            raise forms.ValidationError("Send exactly one decision.", code="several")
        decision: str = super().to_python(value[0] if value else None)
        return decision


class DecisionForm(DomainErrorForm):
    """A decision, which is the value of the submit button, and a note."""

    decision = DecisionField(
        choices=[(name, name) for name in ("approve", "decline", "withdraw")],
        error_messages={"required": "Choose to approve, to decline or to withdraw."},
    )
    note = forms.CharField(
        required=False,
        max_length=constants.MAX_NOTE_LENGTH,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="The requester can read it. It is required to decline.",
    )
