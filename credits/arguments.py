"""Validation of arguments: what is wrong whatever the state of the ledger is.

A :class:`Validator` collects the errors of the fields of one input, each with the name of its field, and raises them
together, before anything is locked. ``at`` and the idempotency key are checked on their own. Operations and queries use
the same rules. Those that HTTP shares are in ``fluxori.core.input_rules``.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Model

from credits.domain import constants, errors
from fluxori.core import clock
from fluxori.core.errors import FieldError
from fluxori.core.input_rules import idempotency_key_error, is_storable, metadata_error


class Validator:
    """Collects the errors of one call's arguments."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    def add_error(self, field: str, code: str, detail: str) -> None:
        """Add an error of one field."""
        self._errors.append(FieldError(field, code, detail))

    def raise_if_invalid(self) -> None:
        """Raise the collected errors, if there are any.

        :raises InvalidArgumentError: with every error
        """
        if self._errors:
            raise errors.InvalidArgumentError(self._errors)

    def integer(self, field: str, value: Any, *, minimum: int = 1, maximum: int = constants.MAX_CREDITS) -> None:
        """Require a whole number from ``minimum`` to ``maximum``; booleans and floats are refused."""
        if not isinstance(value, int) or isinstance(value, bool):
            self.add_error(field, "wrong_type", "A whole number is needed.")
        elif not minimum <= value <= maximum:
            self.add_error(field, "out_of_range", f"It must be from {minimum} to {maximum}.")

    def string(self, field: str, value: Any, *, maximum: int, required: bool = False) -> None:
        """Require storable text of at most ``maximum`` characters; ``required`` refuses blank text."""
        if not isinstance(value, str):
            self.add_error(field, "wrong_type", "Text is needed.")
        elif len(value) > maximum:
            self.add_error(field, "too_long", f"At most {maximum} characters.")
        elif required and not value.strip():
            self.add_error(field, "required", "It must not be blank.")
        elif not is_storable(value):
            self.add_error(field, "wrong_type", "It contains characters that cannot be stored.")

    def choice(self, field: str, value: Any, choices: tuple[str, ...]) -> None:
        """Require one of ``choices``."""
        if value not in choices:
            self.add_error(field, "invalid_choice", f"It must be one of {', '.join(choices)}.")

    def timestamp(self, field: str, value: Any) -> None:
        """Require a datetime with a time zone that also exists in UTC."""
        if not isinstance(value, datetime) or value.utcoffset() is None:
            self.add_error(field, "wrong_type", "A timestamp with a time zone is needed.")
            return
        try:
            value.astimezone(UTC)
        except OverflowError:
            self.add_error(field, "out_of_range", "It must be in the years 1 to 9999, in UTC.")

    def unit_price(self, field: str, value: Any) -> None:
        """Require a price of one credit in rand:

        A finite, non-negative decimal number with at most 6 decimal places.
        """
        if not isinstance(value, Decimal) or not value.is_finite():
            self.add_error(field, "wrong_type", "A decimal number of rand is needed.")
        elif value.is_signed() or value >= 10 ** (constants.UNIT_PRICE_DIGITS - constants.UNIT_PRICE_PLACES):
            self.add_error(field, "out_of_range", "It is not a price of one credit in rand.")
        elif value != round(value, constants.UNIT_PRICE_PLACES):
            self.add_error(field, "out_of_range", f"At most {constants.UNIT_PRICE_PLACES} decimal places.")

    def metadata(self, field: str, value: Any) -> None:
        """Require a storable JSON object of at most 4 KiB."""
        if (error := metadata_error(value)) is not None:
            self.add_error(field, *error)

    def cost(self, *, amount: Any, feature: Any, quantity: Any) -> None:
        """Require what a spending costs: ``amount`` whole credits, or ``quantity`` units of a ``feature``."""
        if (amount is None) == (feature is None):
            code = "required" if amount is None else "invalid_choice"
            self.add_error("amount", code, "Exactly one of amount and feature is needed.")
        elif feature is None:
            self.integer("amount", amount)
        else:
            self.string("feature", feature, maximum=constants.MAX_FEATURE_CODE, required=True)
        self.integer("quantity", quantity)
        if amount is not None and quantity != 1:
            self.add_error("quantity", "invalid_choice", "A quantity needs a feature.")

    def idempotency_key(self, value: Any) -> None:
        """Require printable text of 1 to 255 characters."""
        if (error := idempotency_key_error(value)) is not None:
            self.add_error("idempotency_key", *error)


def resolve_timestamp(at: datetime | None, *, may_be_ahead: bool = False) -> datetime:
    """Return the instant of a request: ``at``, or the clock's time if it is None. Every operation passes here.

    An instant in the future would move everything that follows it, permanently, because the timestamps of a balance
    never decrease. ``may_be_ahead`` is for dry runs, which write nothing.

    :raises InvalidArgumentError: ``wrong_type``: ``at`` has no time zone; ``out_of_range``: it does not exist in UTC;
        ``in_future``: it is more than five minutes ahead of the clock
    """
    if at is None:
        return clock.now()
    validator = Validator()
    validator.timestamp("at", at)
    validator.raise_if_invalid()
    if not may_be_ahead and at - clock.now() > timedelta(seconds=constants.MAX_SECONDS_AHEAD):
        raise errors.InvalidArgumentError.field(
            "at", "in_future", f"At most {constants.MAX_SECONDS_AHEAD // 60} minutes ahead of the clock."
        )
    return at


def id_of(value: Any) -> UUID | None:
    """Return the id of a model instance, or the id itself; None stays None."""
    if isinstance(value, Model):
        key: UUID = value.pk
        return key
    return value if value is None or isinstance(value, UUID) else UUID(str(value))
