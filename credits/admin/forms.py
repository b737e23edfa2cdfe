"""What staff fill in for an act, and how a refusal is said on it."""

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

from credits import bounds
from credits.models import CreditTransaction
from fluxori.kernel.errors import DomainError, Invalid

_TYPES = [CreditTransaction.Type.PROMOTION, CreditTransaction.Type.PURCHASE, CreditTransaction.Type.ALLOCATION]


class ActForm(forms.Form):
    """Every act of staff: why, and a name for the request that is minted when the form is shown.

    A form that is sent twice is still one request.
    """

    reason = forms.CharField(
        max_length=bounds.MAX_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Why you do this. Kept on the transaction, for staff only.",
    )
    idempotency_key = forms.CharField(
        max_length=bounds.MAX_IDEMPOTENCY_KEY, widget=forms.HiddenInput, initial=lambda: str(uuid4())
    )

    def refused(self, refusal: DomainError) -> None:
        """Say a refusal in words: beside its field where the form has it, above the form otherwise."""
        if not isinstance(refusal, Invalid):
            self.add_error(None, refusal.detail)
            return
        shown = {field.name for field in self.visible_fields()}
        for fault in refusal.errors:
            if fault.field in shown:
                self.add_error(fault.field, fault.detail)
            else:
                self.add_error(None, f"{fault.field}: {fault.detail}")


class AddCreditsForm(ActForm):
    """What ``credits.operations.add_credits`` is asked."""

    field_order = ["amount", "type", "description", "reason", "expires_at", "unit_price"]

    amount = forms.IntegerField(
        min_value=1,
        max_value=bounds.MAX_CREDITS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Whole credits.",
    )
    type = forms.ChoiceField(
        choices=[(kind.value, kind.label) for kind in _TYPES],
        widget=UnfoldAdminSelectWidget,
        help_text="How they count in the history, and when they are burned: purchased credits last.",
    )
    description = forms.CharField(
        max_length=bounds.MAX_DESCRIPTION,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Shown to the customer in the history.",
    )
    expires_at = forms.DateTimeField(
        label="Expires at",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
        help_text="UTC. From this instant on they cannot be spent. Leave it empty and they stay.",
    )
    unit_price = forms.DecimalField(
        label="Unit price",
        required=False,
        max_digits=bounds.UNIT_PRICE_DIGITS,
        decimal_places=bounds.UNIT_PRICE_PLACES,
        validators=[MinValueValidator(0)],
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="Rand for one credit, where they were sold.",
    )


class FindOwnerForm(forms.Form):
    """Words that name a user or an organization."""

    q = forms.CharField(
        label="Whose credits?",
        max_length=254,
        widget=UnfoldAdminTextInputWidget(attrs={"autofocus": True, "placeholder": "E-mail, organization name or id"}),
    )
