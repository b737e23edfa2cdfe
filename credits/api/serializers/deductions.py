"""Serializers of deductions: single, in a batch, and the check whether one would be allowed."""

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework.serializers import ListField, SerializerMethodField

from credits.api.serializers.common import MAX_CODE, Count, OptionalText, OwnerQuery, OwnerRequest
from credits.api.serializers.transactions import MovementResponse
from credits.domain import constants
from fluxori.api.fields import Choice, Flag, Metadata, Text, Timestamp, WholeNumber, fail_with
from fluxori.api.idempotency import IdempotencyKey
from fluxori.api.schema import ProblemResponse
from fluxori.api.serializers import RequestSerializer, ResponseSerializer

# The reasons why a check says no, in the order in which a deduction raises them.
CHECK_REASONS = (
    "permission_denied",
    "balance_not_found",
    "spending_suspended",
    "spending_limit_reached",
    "insufficient_credits",
)


class DeductRequest(OwnerRequest):
    """An amount with a description, or a quantity of a feature at the server's price."""

    # ``Validator.cost`` requires exactly one of the two.

    amount = Count(required=False)
    feature = Text(max_length=MAX_CODE, required=False)
    quantity = Count(required=False)
    description = OptionalText(max_length=constants.MAX_DESCRIPTION)
    reference_id = OptionalText(max_length=constants.MAX_REFERENCE_ID)
    metadata = Metadata(required=False)


class BatchItemRequest(DeductRequest):
    """One deduction of a batch, with its own idempotency key."""

    idempotency_key = IdempotencyKey(
        required=False, help_text="The caller's name for this deduction, like the header of a single one."
    )


class BatchItems(ListField):
    """1 to 500 items. They are not validated here: each item's own result reports what is wrong with it."""

    child = BatchItemRequest()

    def __init__(self, **options: Any) -> None:
        super().__init__(min_length=1, max_length=constants.MAX_BATCH, **options)

    def to_internal_value(self, data: Any) -> list[Any]:
        if type(data) is not list:
            fail_with("wrong_type", "This must be a list.")
        if not 1 <= len(data) <= constants.MAX_BATCH:
            fail_with("out_of_range", f"From 1 to {constants.MAX_BATCH} items.")
        return data


class BatchRequest(RequestSerializer):
    """Up to 500 deductions from one balance or several."""

    items = BatchItems()
    # No default in the schema: generators of types make a property with a default required.
    atomic = Flag(required=False, help_text="All or nothing, separately for each balance. Default: false.")


class BatchItemResponse(ResponseSerializer):
    """The status and body that the deduction would have had as a single request."""

    status = WholeNumber()
    body = SerializerMethodField()

    @extend_schema_field(
        PolymorphicProxySerializer(
            "BatchItemBody", serializers=[MovementResponse, ProblemResponse], resource_type_field_name=None
        )
    )
    def get_body(self, result: dict[str, Any]) -> Any:
        return result["body"]


class BatchResponse(ResponseSerializer):
    results = BatchItemResponse(many=True, help_text="In the order of the items.")


class CheckQuery(OwnerQuery):
    # ``Validator.cost`` requires exactly one of the two.

    amount = Count(required=False)
    feature = Text(max_length=MAX_CODE, required=False)
    quantity = Count(required=False)


class ExceededLimitResponse(ResponseSerializer):
    limit = WholeNumber(source="amount")
    used = WholeNumber()
    resets_at = Timestamp()


class CheckResponse(ResponseSerializer):
    allowed = Flag()
    cost = WholeNumber()
    available = WholeNumber()
    reason = Choice(CHECK_REASONS, allow_null=True)
    limit = ExceededLimitResponse(allow_null=True, help_text="The exceeded limit, if that is the reason.")
