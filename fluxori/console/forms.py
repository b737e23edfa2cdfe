"""The base class of console forms, which shows the errors of operations."""

from django import forms

from fluxori.core.errors import DomainError, InvalidRequestError


class DomainErrorForm(forms.Form):
    """A form that can show a ``DomainError``."""

    def add_domain_error(self, error: DomainError) -> None:
        """Show the error: next to its field if the form has that field, otherwise above the form."""
        if not isinstance(error, InvalidRequestError):
            self.add_error(None, error.detail)
            return
        visible = {field.name for field in self.visible_fields()}
        for field_error in error.errors:
            if field_error.field in visible:
                self.add_error(field_error.field, field_error.detail)
            else:
                self.add_error(None, f"{field_error.field}: {field_error.detail}")
