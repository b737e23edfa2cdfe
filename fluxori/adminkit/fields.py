"""Form fields of admin pages."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextInputWidget


class TimestampField(forms.DateTimeField):
    """A timestamp in the time zone of the user, which must also exist in UTC. The help text names the zone."""

    default_error_messages = {"out_of_range": "It must be in the years 1 to 9999, in UTC."}

    def __init__(self, **options: Any) -> None:
        super().__init__(widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}), **options)

    def to_python(self, value: Any) -> datetime | None:
        at: datetime | None = super().to_python(value)
        try:
            return None if at is None else at.astimezone(UTC)
        except OverflowError as error:
            raise forms.ValidationError(self.error_messages["out_of_range"], code="out_of_range") from error

    def get_bound_field(self, form: forms.BaseForm, field_name: str) -> forms.BoundField:
        bound = super().get_bound_field(form, field_name)
        bound.help_text = f"{self.help_text} Time zone: {timezone.get_current_timezone_name()}."
        return bound

    def prepare_value(self, value: Any) -> Any:
        prepared = super().prepare_value(value)
        # The format of the browser's date picker.
        return prepared.strftime("%Y-%m-%dT%H:%M") if hasattr(prepared, "strftime") else prepared
