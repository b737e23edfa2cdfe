"""Serializers of grants and of the request that adds credits."""

from drf_spectacular.utils import extend_schema_field
from rest_framework.serializers import SerializerMethodField

from credits.api.serializers.common import Count, OptionalText, OwnerRequest, Priority, format_rand
from credits.domain import constants
from credits.models import CreditGrant
from fluxori.api.fields import Choice, Id, Metadata, Rand, Text, Timestamp, WholeNumber
from fluxori.api.serializers import ResponseSerializer

ADD_TYPES = ("allocation", "purchase", "promotion")
GRANT_STATUSES = ("active", "spent", "expired", "voided")


class AddRequest(OwnerRequest):
    amount = Count()
    type = Choice(ADD_TYPES)
    description = Text(max_length=constants.MAX_DESCRIPTION)
    reference_id = OptionalText(max_length=constants.MAX_REFERENCE_ID)
    expires_at = Timestamp(required=False, help_text="From this time on the credits cannot be spent.")
    priority = Priority(required=False, help_text="The priority in the burn order; 0 is spent first.")
    unit_price = Rand(
        max_digits=constants.UNIT_PRICE_DIGITS,
        decimal_places=constants.UNIT_PRICE_PLACES,
        required=False,
        help_text="The price of one credit, in rand.",
    )
    metadata = Metadata(required=False)


class GrantResponse(ResponseSerializer):
    id = Id()
    source = Choice(CreditGrant.Source.choices)  # type: ignore[assignment] # the framework has an attribute of that name
    amount = WholeNumber()
    remaining = WholeNumber(source="free")
    held = WholeNumber(source="pinned")
    priority = WholeNumber()
    effective_at = Timestamp()
    expires_at = Timestamp(source="until", allow_null=True)
    unit_price = SerializerMethodField()
    status = Choice(GRANT_STATUSES)

    @extend_schema_field(Rand(allow_null=True))
    def get_unit_price(self, grant: CreditGrant) -> str | None:
        return None if grant.unit_price is None else format_rand(grant.unit_price)
