"""What staff fill in for an act, and how a refusal is said on it."""

from collections.abc import Mapping
from typing import Any, Self
from uuid import uuid4

from django import forms
from django.core.validators import MinValueValidator
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from credits.domain import constants as ledger
from credits.models import CreditTransaction
from fluxori.console.actions import constants
from fluxori.console.models import Reason
from fluxori.core.errors import DomainError, InvalidRequestError
from tiers.models import Tier

_TYPES = [CreditTransaction.Type.PROMOTION, CreditTransaction.Type.PURCHASE, CreditTransaction.Type.ALLOCATION]
WHY = ("reason", "note", "ticket", "idempotency_key")


class RefusableForm(forms.Form):
    """A form on which a refusal can be said."""

    def refused(self, refusal: DomainError) -> None:
        """Say a refusal in words: beside its field where the form has it, above the form otherwise."""
        if not isinstance(refusal, InvalidRequestError):
            self.add_error(None, refusal.detail)
            return
        shown = {field.name for field in self.visible_fields()}
        for fault in refusal.errors:
            if fault.field in shown:
                self.add_error(fault.field, fault.detail)
            else:
                self.add_error(None, f"{fault.field}: {fault.detail}")


class ActForm(RefusableForm):
    """Every act of staff: why, and a name for the request that is minted when the form is shown.

    A form that is sent twice is still one request. The fields of a subclass are what its act is asked; they come first.
    """

    reason = forms.ChoiceField(
        choices=[("", "Choose a reason"), *Reason.choices],
        widget=UnfoldAdminSelectWidget,
        help_text="The customer can read it on the transaction.",
    )
    note = forms.CharField(
        required=False,
        max_length=constants.MAX_NOTE,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="What a colleague should know in a year. For staff only.",
    )
    ticket = forms.CharField(
        required=False,
        max_length=constants.MAX_TICKET,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "SUP-4711"}),
        help_text="Where the customer wrote. For staff only.",
    )
    idempotency_key = forms.CharField(
        max_length=ledger.MAX_IDEMPOTENCY_KEY, widget=forms.HiddenInput, initial=lambda: str(uuid4())
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields([name for name in self.fields if name not in WHY])
        for name, field in self.fields.items():
            if field.required and not self.get_initial_for_field(field, name):
                # Whoever comes from a button can type at once.
                field.widget.attrs["autofocus"] = True
                break

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("reason") == Reason.OTHER and not cleaned.get("note"):
            self.add_error("note", "Say what the other reason is.")
        return cleaned

    @classmethod
    def begun(cls, first: Mapping[str, Any], given: Mapping[str, str]) -> Self:
        """Return the form as it is first shown: with ``first``, and over it what a link to it gives."""
        told = {name: given[name] for name in cls.base_fields if name in given and name not in WHY}
        return cls(initial={**first, **told})

    @property
    def asked(self) -> dict[str, Any]:
        """Return what the act itself is asked, without why."""
        return {name: value for name, value in self.cleaned_data.items() if name not in WHY}

    @classmethod
    def read(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return what an act was asked, from the JSON it was kept as."""
        return {
            name: field.to_python(arguments[name])
            for name, field in cls.base_fields.items()
            if name not in WHY and name in arguments
        }


def credits_field(help_text: str = "Whole credits.", **options: Any) -> forms.IntegerField:
    bounds_ = {"min_value": 1, "max_value": ledger.MAX_CREDITS, **options}
    return forms.IntegerField(widget=UnfoldAdminIntegerFieldWidget, help_text=help_text, **bounds_)


class InstantField(forms.DateTimeField):
    """An instant in the zone of whoever fills it in, which is said beneath."""

    widget = UnfoldAdminTextInputWidget

    def __init__(self, *, said: str, **options: Any) -> None:
        widget = UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"})
        super().__init__(widget=widget, help_text=said, **options)

    def get_bound_field(self, form: forms.BaseForm, field_name: str) -> forms.BoundField:
        bound = super().get_bound_field(form, field_name)
        bound.help_text = f"{self.help_text} Time zone: {timezone.get_current_timezone_name()}."
        return bound

    def prepare_value(self, value: Any) -> Any:
        shown = super().prepare_value(value)
        # What a browser's own date picker takes.
        return shown.strftime("%Y-%m-%dT%H:%M") if hasattr(shown, "strftime") else shown


class AddCreditsForm(ActForm):
    amount = credits_field()
    type = forms.ChoiceField(
        choices=[(kind.value, kind.label) for kind in _TYPES],
        widget=UnfoldAdminSelectWidget,
        help_text="How they count in the history, and when they are spent: purchased credits last.",
    )
    description = forms.CharField(
        max_length=ledger.MAX_DESCRIPTION,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Shown to the customer in the history.",
    )
    expires_at = InstantField(
        label="Expires at",
        required=False,
        said="From this instant on they cannot be spent. Leave it empty and they stay.",
    )
    unit_price = forms.DecimalField(
        label="Unit price",
        required=False,
        max_digits=ledger.UNIT_PRICE_DIGITS,
        decimal_places=ledger.UNIT_PRICE_PLACES,
        validators=[MinValueValidator(0)],
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="Rand for one credit, where they were sold.",
    )


class AdjustForm(ActForm):
    amount = credits_field(
        "Whole credits: 50 puts the balance up, -50 down. Down never goes below what is available.",
        min_value=-ledger.MAX_CREDITS,
    )


class PartForm(ActForm):
    """Part of an earlier transaction, or all that is left of it."""

    amount = credits_field("Whole credits. Leave it as it is to put all of it right.")


class RefundForm(PartForm):
    expires_at = InstantField(
        label="New expiry",
        required=False,
        said="Credits go back to the grants that paid and keep their expiry. With a new expiry, what has expired since"
        " comes back and lasts until then.",
    )


class ExtendForm(ActForm):
    expires_at = InstantField(label="New expiry", said="It must be later than it is now.")


class TierForm(ActForm):
    tier = forms.ChoiceField(choices=[], widget=UnfoldAdminSelectWidget)
    effective = forms.ChoiceField(
        label="From when on",
        initial="now",
        choices=[("now", "Now"), ("nextPeriod", "From the next month of the subscription on")],
        widget=UnfoldAdminSelectWidget,
        help_text="Either replaces a change that is scheduled. Nothing is taken away, and the day of the month stays.",
    )
    proration = forms.ChoiceField(
        label="For the rest of this month",
        initial="none",
        choices=[("none", "Grant nothing"), ("difference", "Grant the difference to the larger tier")],
        widget=UnfoldAdminSelectWidget,
        help_text="The difference counts as credits given by hand. From the next month on there is none.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = Tier.objects.all()
        choices = [(tier.code, f"{tier.name}, {tier.monthly_credits:,} credits a month") for tier in offered]
        self.fields["tier"].choices = [("", "Choose a tier"), *choices]  # type: ignore[attr-defined]


class LimitForm(ActForm):
    amount = credits_field("Whole credits that may be used in each period. 0 lets nothing be used.", min_value=0)
    period = forms.ChoiceField(
        choices=[("month", "Each month"), ("day", "Each day")],
        widget=UnfoldAdminSelectWidget,
        help_text="Of the calendar, UTC. There is one limit of each kind: setting it again changes its amount.",
    )
    member = forms.EmailField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="The e-mail of one member of the organization. Leave it empty for the balance as a whole.",
    )


class DecisionField(forms.ChoiceField):
    """One decision. A request that names several, the same one twice included, is refused."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: list[str] | None) -> str:
        if len(value or []) > 1:
            raise forms.ValidationError("Send exactly one decision.", code="several")
        decision: str = super().to_python(value[0] if value else None)
        return decision


class DecisionForm(RefusableForm):
    """The decision on a request, named by the button that was pressed, and a note."""

    decision = DecisionField(
        choices=[(name, name) for name in ("approve", "decline", "withdraw")],
        error_messages={"required": "Choose to approve, to decline or to withdraw."},
    )
    note = forms.CharField(
        required=False,
        max_length=constants.MAX_NOTE,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="For whoever asked. Needed to decline.",
    )


class FindOwnerForm(forms.Form):
    """Words that name a user or an organization."""

    q = forms.CharField(
        label="Whose credits?",
        max_length=254,
        widget=UnfoldAdminTextInputWidget(attrs={"autofocus": True, "placeholder": "E-mail, organization name or id"}),
    )
