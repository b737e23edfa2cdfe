"""The form field of whole numbers: credits, periods and percentages."""

import re
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.db import models

_WHOLE_NUMBER = re.compile(r"\s*-?[0-9]+\s*")


class WholeNumberField(forms.IntegerField):
    """A whole number in ASCII digits. Django's field also accepts ``1.0``, ``1_000`` and other scripts."""

    default_error_messages: ClassVar[Any] = {"invalid": "Enter a whole number, in digits only."}

    def to_python(self, value: Any) -> int | None:
        if value not in self.empty_values and not _WHOLE_NUMBER.fullmatch(str(value)):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


# For the ``formfield_overrides`` of an admin page.
WHOLE_NUMBERS: dict[type[models.Field[Any, Any]], dict[str, Any]] = {
    models.IntegerField: {"form_class": WholeNumberField},
    models.BigIntegerField: {"form_class": WholeNumberField},
}
