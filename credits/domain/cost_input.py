"""The input of a cost: an amount of whole credits, or a quantity of a feature."""

from typing import Any

from fluxori.core.errors import FieldError


def cost_input_errors(*, amount: Any, feature: Any, quantity: Any) -> list[FieldError]:
    """Return what is wrong with the combination of the three; None means that a field is not given."""
    errors = []
    if (amount is None) == (feature is None):
        code = "required" if amount is None else "invalid_choice"
        errors.append(FieldError("amount", code, "Exactly one of amount and feature is needed."))
    if amount is not None and quantity != 1:
        errors.append(FieldError("quantity", "invalid_choice", "A quantity needs a feature."))
    return errors
