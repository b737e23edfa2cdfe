"""Forms of staff actions: the arguments of each action, and the reason, note and ticket that all of them have.

Each form carries an idempotency key, created when the form is first shown, so a form that is sent twice is performed
once.
"""

from collections.abc import Mapping
from typing import Any, Self
from uuid import uuid4

from django import forms
from django.core.validators import MinValueValidator
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from credits.domain import constants as ledger
from credits.models import CreditTransaction
from fluxori.adminkit.fields import TimestampField
from fluxori.adminkit.whole_numbers import WholeNumberField
from fluxori.console.actions import constants
from fluxori.console.forms import DomainErrorForm
from fluxori.console.models import Reason
from tiers.models import Tier

_TYPES = [CreditTransaction.Type.PROMOTION, CreditTransaction.Type.PURCHASE, CreditTransaction.Type.ALLOCATION]
# The fields that every action has. The other fields are the arguments of the action.
COMMON_FIELDS = ("reason", "note", "ticket", "idempotency_key")


class ActionForm(DomainErrorForm):
    """The form of an action without arguments. Subclasses add fields for their arguments, which come first."""

    reason = forms.ChoiceField(
        choices=[("", "Choose a reason"), *Reason.choices],
        widget=UnfoldAdminSelectWidget,
        help_text="The customer can read it on the transaction.",
    )
    note = forms.CharField(
        required=False,
        max_length=constants.MAX_NOTE_LENGTH,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Details for colleagues. Only staff can read it.",
    )
    ticket = forms.CharField(
        required=False,
        max_length=constants.MAX_TICKET_LENGTH,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "SUP-4711"}),
        help_text="The support ticket. Only staff can read it.",
    )
    idempotency_key = forms.CharField(
        max_length=ledger.MAX_IDEMPOTENCY_KEY, widget=forms.HiddenInput, initial=lambda: str(uuid4())
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields([name for name in self.fields if name not in COMMON_FIELDS])
        for name, field in self.fields.items():
            if field.required and not self.get_initial_for_field(field, name):
                field.widget.attrs["autofocus"] = True  # the first field that the user has to fill in
                break

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("reason") == Reason.OTHER and not cleaned.get("note"):
            self.add_error("note", "Describe the other reason.")
        return cleaned

    @classmethod
    def prefilled(cls, initial: Mapping[str, Any], params: Mapping[str, str]) -> Self:
        """Return the unbound form with the initial values of the action, overridden by the parameters of a link."""
        overrides = {name: params[name] for name in cls.base_fields if name in params and name not in COMMON_FIELDS}
        return cls(initial={**initial, **overrides})

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the action."""
        return {name: value for name, value in self.cleaned_data.items() if name not in COMMON_FIELDS}

    @classmethod
    def arguments_from_json(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the action from the JSON in which a request stores them."""
        return {
            name: field.to_python(stored[name])
            for name, field in cls.base_fields.items()
            if name not in COMMON_FIELDS and name in stored
        }


def credits_field(help_text: str = "Whole credits.", **options: Any) -> WholeNumberField:
    """Return a field for a number of credits, from 1 to the maximum unless ``options`` say otherwise."""
    options = {"min_value": 1, "max_value": ledger.MAX_CREDITS, **options}
    return WholeNumberField(widget=UnfoldAdminIntegerFieldWidget, help_text=help_text, **options)


class AddCreditsForm(ActionForm):
    amount = credits_field()
    type = forms.ChoiceField(
        choices=[(choice.value, choice.label) for choice in _TYPES],
        widget=UnfoldAdminSelectWidget,
        help_text="The type in the history. Purchased credits are spent last.",
    )
    description = forms.CharField(
        max_length=ledger.MAX_DESCRIPTION,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="The customer sees it in the history.",
    )
    expires_at = TimestampField(
        label="Expires at",
        required=False,
        help_text="The credits cannot be spent from this time on. Leave it empty for credits that never expire.",
    )
    unit_price = forms.DecimalField(
        label="Unit price",
        required=False,
        max_digits=ledger.UNIT_PRICE_DIGITS,
        decimal_places=ledger.UNIT_PRICE_PLACES,
        validators=[MinValueValidator(0)],
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="The price of one credit in rand, if the credits were sold.",
    )


class AdjustForm(ActionForm):
    amount = credits_field(
        "Whole credits. 50 increases the balance by 50, -50 decreases it. A decrease cannot exceed what is available.",
        min_value=-ledger.MAX_CREDITS,
    )


class TransferForm(ActionForm):
    amount = credits_field("Whole credits. It cannot exceed what is available.")
    to = forms.CharField(
        label="To",
        max_length=254,
        widget=UnfoldAdminTextInputWidget,
        help_text="The e-mail of a user, or the id or the external id of an organization. It needs a balance.",
    )


class CorrectionForm(ActionForm):
    """How many credits of an earlier transaction to correct."""

    amount = credits_field("Whole credits. The suggested value is all that can be corrected.")


class RefundForm(CorrectionForm):
    expires_at = TimestampField(
        label="New expiry",
        required=False,
        help_text="Leave it empty to return the credits to the grants that paid, with their expiry. With a new expiry,"
        " credits that have expired since are given again and last until then.",
    )


class ExtendForm(ActionForm):
    expires_at = TimestampField(label="New expiry", help_text="It must be later than the current expiry.")


class TierForm(ActionForm):
    tier = forms.ChoiceField(choices=[], widget=UnfoldAdminSelectWidget)
    effective = forms.ChoiceField(
        label="Effective",
        initial="now",
        choices=[("now", "Now"), ("nextPeriod", "From the next month of the subscription")],
        widget=UnfoldAdminSelectWidget,
        help_text="This replaces a scheduled change. No credits are taken away. The allocation day stays the same.",
    )
    proration = forms.ChoiceField(
        label="For the rest of this month",
        initial="none",
        choices=[("none", "Grant nothing"), ("difference", "Grant the difference to the larger tier")],
        widget=UnfoldAdminSelectWidget,
        help_text="The difference counts toward your ceiling. A change from the next month has no difference.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [
            (tier.code, f"{tier.name}, {tier.monthly_credits:,} credits per month") for tier in Tier.objects.all()
        ]
        self.fields["tier"].choices = [("", "Choose a tier"), *choices]  # type: ignore[attr-defined]


class EndForm(ActionForm):
    effective = forms.ChoiceField(
        label="Effective",
        initial="nextPeriod",
        choices=[("nextPeriod", "When the current month of the subscription ends"), ("now", "Now")],
        widget=UnfoldAdminSelectWidget,
        help_text="The customer keeps the credits with their expiry, and gets no further months.",
    )


class LimitForm(ActionForm):
    amount = credits_field("Whole credits per period. 0 prevents all usage.", min_value=0)
    period = forms.ChoiceField(
        choices=[("month", "Each month"), ("day", "Each day")],
        widget=UnfoldAdminSelectWidget,
        help_text="Calendar periods in UTC. Setting a limit again changes its amount.",
    )
    member = forms.EmailField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="The e-mail of one member of the organization. Leave it empty to limit the whole balance.",
    )


class FindOwnerForm(forms.Form):
    """A search term for a user or an organization."""

    q = forms.CharField(
        label="Customer",
        max_length=254,
        widget=UnfoldAdminTextInputWidget(attrs={"autofocus": True, "placeholder": "E-mail, organization name or id"}),
    )
