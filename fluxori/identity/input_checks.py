"""Checks of e-mail addresses and passwords that several operations share."""

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from fluxori.core.errors import InvalidRequestError
from fluxori.identity.emails import INVALID, MAX_EMAIL, normalize_email
from fluxori.identity.models import User


def checked_email(email: str) -> str:
    """Return the one spelling of an address.

    :raises InvalidRequestError: it is not an address (``wrong_type``) or too long (``too_long``)
    """
    try:
        normalized = normalize_email(email)
    except ValueError:
        raise InvalidRequestError.field("email", "wrong_type", INVALID) from None
    if len(normalized) > MAX_EMAIL:
        raise InvalidRequestError.field("email", "too_long", f"At most {MAX_EMAIL} characters.")
    return normalized


def check_password_strength(password: str, user: User, *, field: str = "password") -> None:
    """Check that a password is not easily guessed.

    :raises InvalidRequestError: it is (``out_of_range``)
    """
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidRequestError.field(field, "out_of_range", " ".join(error.messages)) from None
