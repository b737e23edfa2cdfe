"""What an argument must look like whatever the state of things. Every fault is collected and named by its field."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Model

from credits.domain import constants, errors
from fluxori.core import clock
from fluxori.core.errors import FieldError
from fluxori.core.input_rules import is_storable, metadata_error


class Arguments:
    """Collects what is wrong with the arguments of one call, and refuses them together."""

    def __init__(self) -> None:
        self._faults: list[FieldError] = []

    def fault(self, field: str, code: str, detail: str) -> None:
        self._faults.append(FieldError(field, code, detail))

    def refuse(self) -> None:
        """:raises InvalidArgumentError: if anything was wrong"""
        if self._faults:
            raise errors.InvalidArgumentError(self._faults)

    def whole(self, field: str, value: Any, *, minimum: int = 1, maximum: int = constants.MAX_CREDITS) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            self.fault(field, "wrong_type", "A whole number is needed.")
        elif not minimum <= value <= maximum:
            self.fault(field, "out_of_range", f"It must be from {minimum} to {maximum}.")

    def text(self, field: str, value: Any, *, maximum: int, required: bool = False) -> None:
        if not isinstance(value, str):
            self.fault(field, "wrong_type", "Text is needed.")
        elif len(value) > maximum:
            self.fault(field, "too_long", f"At most {maximum} characters.")
        elif required and not value.strip():
            self.fault(field, "required", "It must say something.")
        elif not is_storable(value):
            self.fault(field, "wrong_type", "It contains characters that cannot be stored.")

    def choice(self, field: str, value: Any, choices: tuple[str, ...]) -> None:
        if value not in choices:
            self.fault(field, "invalid_choice", f"It must be one of {', '.join(choices)}.")

    def instant(self, field: str, value: Any) -> None:
        if not isinstance(value, datetime) or value.utcoffset() is None:
            self.fault(field, "wrong_type", "An aware instant is needed.")
            return
        try:
            value.astimezone(UTC)
        except OverflowError:
            # Within bounds where it was written, but in UTC a year that cannot be read back.
            self.fault(field, "out_of_range", "It must lie in the years 1 to 9999, in UTC.")

    def unit_price(self, field: str, value: Any) -> None:
        if not isinstance(value, Decimal) or not value.is_finite():
            self.fault(field, "wrong_type", "A decimal number of rand is needed.")
        elif value.is_signed() or value >= 10 ** (constants.UNIT_PRICE_DIGITS - constants.UNIT_PRICE_PLACES):
            self.fault(field, "out_of_range", "It is not a price of one credit in rand.")
        elif value != round(value, constants.UNIT_PRICE_PLACES):
            self.fault(field, "out_of_range", f"At most {constants.UNIT_PRICE_PLACES} decimal places.")

    def metadata(self, field: str, value: Any) -> None:
        if (error := metadata_error(value)) is not None:
            self.fault(field, *error)


def instant(at: datetime | None) -> datetime:
    """Return ``at``, or the clock's now where nobody said.

    :raises InvalidArgumentError: ``wrong_type`` if ``at`` has no time zone
    """
    if at is None:
        return clock.now()
    arguments = Arguments()
    arguments.instant("at", at)
    arguments.refuse()
    return at


def id_of(value: Any) -> UUID | None:
    """Return the id that a user, its id, or nothing names."""
    if isinstance(value, Model):
        key: UUID = value.pk
        return key
    return value if value is None or isinstance(value, UUID) else UUID(str(value))
