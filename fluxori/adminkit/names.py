"""Names in forms of the admin: every character can be seen."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest

from fluxori.core.input_rules import name_error


def validate_name(name: str) -> None:
    """Check that every character of a name can be seen. Django's form fields reject NUL themselves."""
    error = name_error(name.replace("\0", ""))
    if error is not None:
        raise ValidationError(error[1])


class VisibleNames:
    """Part of an admin page: it rejects a ``name`` with characters that cannot be seen."""

    def formfield_for_dbfield(self, db_field: models.Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        if field is not None and db_field.name == "name":
            field.validators.append(validate_name)
        return field
