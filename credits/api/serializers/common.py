"""Fields, owner parameters and helpers that several resources share."""

from decimal import Decimal
from typing import Any

from credits.domain import constants
from fluxori.api.fields import Id, Text, WholeNumber
from fluxori.api.serializers import QuerySerializer, RequestSerializer

MAX_CODE = 64  # characters of the code of a feature or a tier
OWNER_FIELDS = frozenset({"user_id", "organization_id"})


class Count(WholeNumber):
    """Whole credits, or units of a feature: from 1 to the most that one transaction can move."""

    def __init__(self, *, min_value: int = 1, **options: Any) -> None:
        super().__init__(min_value=min_value, max_value=constants.MAX_CREDITS, **options)


class Priority(WholeNumber):
    """The priority of a grant in the burn order."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=constants.MAX_PRIORITY, **options)


class OptionalText(Text):
    """A text that may be missing or blank, stored exactly as given."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, allow_blank=True, trim_whitespace=False, **options)


class ReasonText(Text):
    """The reason of a correction by staff, stored on the transaction."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=constants.MAX_REASON, **options)


class OwnerRequest(RequestSerializer):
    """The owner of a balance: a user, an organization, or an organization with one of its members."""

    user_id = Id(required=False)
    organization_id = Id(required=False)


class OwnerQuery(QuerySerializer):
    """The owner of a balance. Without either parameter it is the caller's own balance."""

    user_id = Id(required=False)
    organization_id = Id(required=False)


def without_owner(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a parsed request except those that name the owner."""
    return {name: value for name, value in payload.items() if name not in OWNER_FIELDS}


def format_rand(value: Decimal) -> str:
    """Return an amount in rand with at least two decimal places and without further trailing zeros.

    >>> format_rand(Decimal("0.080000")), format_rand(Decimal("0.018300")), format_rand(Decimal(32))
    ('0.08', '0.0183', '32.00')
    """
    rand, _, places = format(value, "f").partition(".")
    return f"{rand}.{places.rstrip('0'):0<2}"
