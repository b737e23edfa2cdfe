"""What comes in and what goes out at the doors of credits. Credits are whole numbers throughout."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework.serializers import ListField, SerializerMethodField

from credits.domain import constants
from credits.domain.limits import PERIODS
from credits.domain.records import BalanceSnapshot
from credits.models import CreditBalance, CreditEntry, CreditGrant, CreditHold, CreditTransaction
from credits.queries.usage import GROUPS, Forecast
from fluxori.api.errors import InvalidInputError
from fluxori.api.fields import Choice, Flag, Id, Metadata, Rand, Text, Timestamp, WholeNumber, refuse
from fluxori.api.idempotency import Key
from fluxori.api.schema import ProblemOut
from fluxori.api.serializers import In, Out, Query
from fluxori.core.errors import FieldError
from fluxori.identity.models import User

ADDED = ("allocation", "purchase", "promotion")
STATUSES = ("active", "spent", "expired", "voided")
REASONS = (
    "permission_denied",
    "balance_not_found",
    "spending_suspended",
    "spending_limit_reached",
    "insufficient_credits",
)
NO_FORECAST = ("not_enough_history", "no_usage")
MAX_CODE = 64  # of a feature or of a tier
OWNER = frozenset({"user_id", "organization_id"})


class Count(WholeNumber):
    """Whole credits, or units of something, from 1 up to the most one movement may carry."""

    def __init__(self, *, min_value: int = 1, **options: Any) -> None:
        super().__init__(min_value=min_value, max_value=constants.MAX_CREDITS, **options)


class Words(Text):
    """A text that may be left out, kept exactly as it was given."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, allow_blank=True, trim_whitespace=False, **options)


def terms(asked: dict[str, Any]) -> dict[str, Any]:
    """Return what was asked for, without whose balance it is about."""
    return {name: value for name, value in asked.items() if name not in OWNER}


def rand(value: Decimal) -> str:
    """Return money in rand: at least two decimal places, and no more than it needs.

    >>> rand(Decimal("0.080000")), rand(Decimal("0.018300")), rand(Decimal(32))
    ('0.08', '0.0183', '32.00')
    """
    whole, _, places = format(value, "f").partition(".")
    return f"{whole}.{places.rstrip('0'):0<2}"


class OwnerIn(In):
    """Whose balance: one user's or one organization's."""

    user_id = Id(required=False)
    organization_id = Id(required=False)


class OwnerQuery(Query):
    """Whose balance is read; neither means the caller's own."""

    user_id = Id(required=False)
    organization_id = Id(required=False)


class NoQuery(Query):
    """A path without parameters."""


class BalanceQuery(OwnerQuery):
    at = Timestamp(required=False, help_text="A past instant: the balance as a read would have told it then.")


class AddIn(OwnerIn):
    amount = Count()
    type = Choice(ADDED)
    description = Text(max_length=constants.MAX_DESCRIPTION)
    reference_id = Words(max_length=constants.MAX_REFERENCE_ID)
    expires_at = Timestamp(required=False, help_text="The first instant at which the credits are gone.")
    priority = WholeNumber(
        min_value=0, max_value=constants.MAX_PRIORITY, required=False, help_text="Its place in the burn order, 0 first."
    )
    unit_price = Rand(
        max_digits=constants.UNIT_PRICE_DIGITS,
        decimal_places=constants.UNIT_PRICE_PLACES,
        required=False,
        help_text="What one credit was sold for, in rand.",
    )
    metadata = Metadata(required=False)


class DeductIn(OwnerIn):
    """``amount`` with a description, or ``quantity`` units of a ``feature``, priced by the server."""

    amount = Count(required=False)
    feature = Text(max_length=MAX_CODE, required=False)
    quantity = Count(required=False)
    description = Words(max_length=constants.MAX_DESCRIPTION)
    reference_id = Words(max_length=constants.MAX_REFERENCE_ID)
    metadata = Metadata(required=False)


class BatchItemIn(DeductIn):
    """One deduction of a batch, with its own idempotency key."""

    idempotency_key = Key(required=False, help_text="The caller's name for this deduction, as in the header elsewhere.")


class Items(ListField):
    """1 to 500 items, taken as they are: what is wrong with one of them is said in its own result."""

    child = BatchItemIn()

    def __init__(self, **options: Any) -> None:
        super().__init__(min_length=1, max_length=constants.MAX_BATCH, **options)

    def to_internal_value(self, data: Any) -> list[Any]:
        if type(data) is not list:
            refuse("wrong_type", "This must be a list.")
        if not 1 <= len(data) <= constants.MAX_BATCH:
            refuse("out_of_range", f"From 1 to {constants.MAX_BATCH} items.")
        return data


class BatchIn(In):
    """Up to 500 deductions, of one balance or several."""

    items = Items()
    atomic = Flag(default=False, help_text="All or nothing, on each balance for itself.")


class LastingIn(In):
    expires_in_seconds = WholeNumber(
        min_value=1, max_value=constants.MAX_HOLD_SECONDS, help_text="From now; at most 24 hours."
    )


class HoldIn(DeductIn):
    """A deduction whose credits are set aside first."""

    expires_in_seconds = WholeNumber(
        min_value=1, max_value=constants.MAX_HOLD_SECONDS, required=False, help_text="15 minutes unless told."
    )


class CaptureIn(In):
    amount = Count(min_value=0, required=False, help_text="All that was held unless told; 0 releases it.")


class NothingIn(In):
    """A body without fields."""


class Reason(Text):
    """Why staff did it; it stays on the transaction."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=constants.MAX_REASON, **options)


class VoidIn(In):
    reason = Reason()


class ReverseIn(VoidIn):
    amount = Count(required=False, help_text="All that is left unless told.")


class RefundIn(ReverseIn):
    expires_at = Timestamp(required=False, help_text="Admins only: until when parts of expired grants come back.")


class ExtendIn(VoidIn):
    expires_at = Timestamp()


class AdjustIn(OwnerIn):
    amount = WholeNumber(min_value=-constants.MAX_CREDITS, max_value=constants.MAX_CREDITS, help_text="Not 0.")
    reason = Reason()


class LimitIn(OwnerIn):
    """A limit of the whole balance or, in an organization's pool, of one member."""

    member_id = Id(required=False, allow_null=True)
    period = Choice(PERIODS, help_text="Of the calendar, UTC.")
    amount = Count(min_value=0, help_text="The most that may be used in each.")


class CheckQuery(OwnerQuery):
    amount = Count(required=False)
    feature = Text(max_length=MAX_CODE, required=False)
    quantity = Count(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("amount" in attrs) == ("feature" in attrs):
            code = "invalid_choice" if "amount" in attrs else "required"
            raise InvalidInputError([FieldError("amount", code, "Exactly one of amount and feature is needed.")])
        if "amount" in attrs and attrs.get("quantity", 1) != 1:
            raise InvalidInputError([FieldError("quantity", "invalid_choice", "A quantity goes with a feature.")])
        return attrs


class ExpiryOut(Out):
    amount = WholeNumber()
    at = Timestamp()


class PendingTierOut(Out):
    tier = Text()
    at = Timestamp()


class Standing(NamedTuple):
    """A balance and what its tier says beside it, as an operation answers; made where a balance is only read."""

    after: BalanceSnapshot
    alongside: dict[str, Any]


class BalanceOut(Out):
    """A balance, from anything with ``after``, what the ledger says, and ``alongside``, what its tier does."""

    user_id = Id(source="after.user_id", allow_null=True)
    organization_id = Id(source="after.organization_id", allow_null=True)
    balance = WholeNumber(source="after.balance", help_text="The sum of all transactions.")
    held = WholeNumber(source="after.held", help_text="Set aside for work under way.")
    available = WholeNumber(source="after.available", help_text="What may be spent; never below 0.")
    debt = WholeNumber(source="after.debt", help_text="Taken back after it was spent; repaid first.")
    tier = SerializerMethodField()
    pending_tier = SerializerMethodField()
    last_updated = Timestamp(source="after.last_updated")
    next_allocation_at = SerializerMethodField()
    next_expiry = SerializerMethodField()
    sequence = WholeNumber(source="after.sequence", help_text="The number of the last transaction.")
    version = WholeNumber(source="after.version", help_text="Rises with every change.")

    def get_tier(self, told: Standing) -> str | None:
        code: str | None = told.alongside["tier"]
        return code

    @extend_schema_field(PendingTierOut(allow_null=True))
    def get_pending_tier(self, told: Standing) -> dict[str, Any] | None:
        pending = told.alongside["pending_tier"]
        return pending and {"tier": pending["tier"], "at": datetime.fromisoformat(pending["at"])}

    def get_next_allocation_at(self, told: Standing) -> datetime | None:
        at: str | None = told.alongside["next_allocation_at"]
        return datetime.fromisoformat(at) if at else None

    @extend_schema_field(ExpiryOut(allow_null=True))
    def get_next_expiry(self, told: Standing) -> dict[str, Any] | None:
        expiry = told.after.next_expiry
        return expiry and dict(zip(("amount", "at"), expiry, strict=True))


class BalanceAtOut(BalanceOut):
    """A balance as it was told at a past instant: the counts and that instant, null elsewhere."""

    last_updated = Timestamp(source="after.last_updated", allow_null=True)
    sequence = WholeNumber(source="after.sequence", allow_null=True)
    version = WholeNumber(source="after.version", allow_null=True)
    at = Timestamp(required=False, help_text="Only where it was asked for.")

    @classmethod
    def of_past(cls, past: BalanceSnapshot, at: datetime) -> dict[str, Any]:
        counts = {name: getattr(past, name) for name in ("balance", "held", "available", "debt")}
        return {**dict.fromkeys(cls.bound().fields), **counts, "at": at}


class EntryOut(Out):
    grant_id = Id(allow_null=True, help_text="Null: it fell on debt.")
    amount = WholeNumber()


class TransactionOut(Out):
    id = Id()
    sequence = WholeNumber()
    timestamp = Timestamp()
    type = Choice(CreditTransaction.Type.choices)
    amount = WholeNumber(help_text="Negative where credits leave.")
    new_balance = WholeNumber(source="balance_after")
    description = Text()
    reference_id = SerializerMethodField()
    feature = Text(source="feature_id", allow_null=True)
    quantity = WholeNumber(allow_null=True)
    user_id = SerializerMethodField()
    organization_id = SerializerMethodField()
    actor_id = Id(allow_null=True, help_text="Who called.")
    idempotency_key = Text(allow_null=True)
    metadata = SerializerMethodField()

    def get_reference_id(self, told: CreditTransaction) -> str | None:
        return told.reference_id or None

    def get_user_id(self, told: CreditTransaction) -> UUID | None:
        """Whom it was for: in a pool the acting member, else the owner."""
        return told.member_id or _owner(told).user_id

    def get_organization_id(self, told: CreditTransaction) -> UUID | None:
        return _owner(told).organization_id

    @extend_schema_field(Metadata(allow_null=True))
    def get_metadata(self, told: CreditTransaction) -> Any:
        return None if told.metadata is None else json.loads(told.metadata)


def _owner(told: CreditTransaction) -> BalanceSnapshot | CreditBalance:
    """Return what names the owner: the balance an operation answers with, else the row read beside the transaction."""
    return getattr(told, "after", None) or told.balance


class WrittenOut(TransactionOut):
    """A transaction with its entries."""

    entries = EntryOut(many=True)


class MovedOut(BalanceOut):
    """The balance after a movement, and the movement."""

    transaction = WrittenOut(source="*")


class ResultOut(Out):
    """What the deduction would have been answered on its own."""

    status = WholeNumber()
    body = SerializerMethodField()

    @extend_schema_field(
        PolymorphicProxySerializer("ResultBody", serializers=[MovedOut, ProblemOut], resource_type_field_name=None)
    )
    def get_body(self, result: dict[str, Any]) -> Any:
        return result["body"]


class BatchOut(Out):
    results = ResultOut(many=True, help_text="In the order of the items.")


class HoldOut(Out):
    id = Id()
    status = SerializerMethodField()
    amount = WholeNumber()
    captured = WholeNumber()
    feature = Text(source="feature_id", allow_null=True)
    quantity = WholeNumber(allow_null=True)
    description = Text()
    reference_id = SerializerMethodField()
    actor_id = Id(allow_null=True, help_text="Who placed it.")
    created_at = Timestamp()
    expires_at = Timestamp()
    entries = SerializerMethodField(help_text="What was pinned on which grants.")

    @extend_schema_field(Choice(CreditHold.Status.choices))
    def get_status(self, told: CreditHold) -> str:
        standing: str = getattr(told, "standing", told.status)
        return standing

    def get_reference_id(self, told: CreditHold) -> str | None:
        return told.reference_id or None

    @extend_schema_field(EntryOut(many=True))
    def get_entries(self, told: CreditHold) -> list[dict[str, Any]]:
        return [{"grantId": pin.grant_id, "amount": pin.amount} for pin in told.pins.all()]


class HeldOut(BalanceOut):
    """The balance after a hold changed, and the hold."""

    hold = HoldOut(source="*")


class CapturedOut(BalanceOut):
    """The balance after a capture, the hold, and the usage where anything was captured."""

    hold = HoldOut()
    transaction = WrittenOut(allow_null=True)


class VoidedOut(BalanceOut):
    """The balance after a void, and what left; null where there was nothing to do."""

    transaction = WrittenOut(allow_null=True)


class PriceOut(Out):
    credits = WholeNumber()
    effective_from = Timestamp()


class ActorOut(Out):
    id = Id()
    email = Text()
    role = Choice(User.Role.choices)


class ExplainedEntryOut(EntryOut):
    remaining_after = WholeNumber(allow_null=True)
    source = SerializerMethodField()  # type: ignore[assignment] # the framework has an attribute of that name
    expires_at = SerializerMethodField()

    @extend_schema_field(Choice(CreditGrant.Source.choices, allow_null=True))
    def get_source(self, told: CreditEntry) -> Any:
        return told.grant.source if told.grant else None

    @extend_schema_field(Timestamp(allow_null=True))
    def get_expires_at(self, told: CreditEntry) -> Any:
        return told.grant.expires_at if told.grant else None


class ExplainedOut(TransactionOut):
    """A transaction with everything there is to say about it."""

    price = PriceOut(allow_null=True)
    hold_id = Id(allow_null=True)
    actor = ActorOut(allow_null=True)
    reason = Text()
    reverses = Id(source="reverses_id", allow_null=True)
    reversed_by = SerializerMethodField()
    entries = ExplainedEntryOut(many=True)
    hash = SerializerMethodField()
    previous_hash = SerializerMethodField()

    def get_reversed_by(self, told: CreditTransaction) -> list[UUID]:
        return [later.pk for later in told.reversed_by.all()]

    def get_hash(self, told: CreditTransaction) -> str:
        return bytes(told.hash).hex()

    def get_previous_hash(self, told: CreditTransaction) -> str:
        return bytes(told.previous_hash).hex()


class GrantOut(Out):
    id = Id()
    source = Choice(CreditGrant.Source.choices)  # type: ignore[assignment]
    amount = WholeNumber()
    remaining = WholeNumber(source="free")
    held = WholeNumber(source="pinned")
    priority = WholeNumber()
    effective_at = Timestamp()
    expires_at = Timestamp(source="until", allow_null=True)
    unit_price = SerializerMethodField()
    status = Choice(STATUSES)

    @extend_schema_field(Rand(allow_null=True))
    def get_unit_price(self, told: CreditGrant) -> str | None:
        return None if told.unit_price is None else rand(told.unit_price)


class LimitOut(Out):
    id = Id()
    member_id = Id(allow_null=True, help_text="Null: the whole balance.")
    period = Choice(PERIODS)
    amount = WholeNumber()
    used = WholeNumber(help_text="In the present day or month: usage and open holds, less refunds.")
    resets_at = Timestamp(help_text="When all of it may be used again.")


class RefusingOut(Out):
    limit = WholeNumber(source="amount")
    used = WholeNumber()
    resets_at = Timestamp()


class CheckOut(Out):
    allowed = Flag()
    cost = WholeNumber()
    available = WholeNumber()
    reason = Choice(REASONS, allow_null=True)
    limit = RefusingOut(allow_null=True, help_text="The limit that refuses, where that is the reason.")


class FeatureOut(Out):
    code = Text()
    name = Text()
    price = WholeNumber(help_text="Whole credits for one unit.")
    unit = Text()


class UsageQuery(OwnerQuery):
    group_by = Choice(GROUPS, default="day")
    from_ = Timestamp(required=False, help_text="30 days before `to` unless told.")
    to = Timestamp(required=False, help_text="Up to, and not including; now unless told. At most 366 days in all.")


class SumsOut(Out):
    used = WholeNumber(help_text="By type: what left by it.")
    refunded = WholeNumber(help_text="Dated when it was refunded. By type: what came by it.")
    net = WholeNumber(help_text="Used less refunded.")
    count = WholeNumber(help_text="How many usages there were. By type: how many transactions.")


class ShareOut(SumsOut):
    key = Text(allow_null=True, help_text="The day in UTC, the feature, the member's id or the type; null: none.")


class UsageOut(Out):
    from_ = Timestamp()
    to = Timestamp()
    group_by = Choice(GROUPS)
    results = ShareOut(many=True)
    total = SumsOut()


class ExpiringOut(ExpiryOut):
    grant_id = Id()


class NextAllocationOut(Out):
    at = Timestamp()
    amount = WholeNumber()


class ForecastOut(Out):
    as_of = Timestamp()
    window_days = WholeNumber(help_text="How many days the pace is taken from, at most 30.")
    burn_per_day = SerializerMethodField(help_text="Credits a day, rounded to two decimal places.")
    runs_out_at = Timestamp(allow_null=True, help_text="If nothing is added; null: not within 366 days.")
    runs_out_at_with_allocations = Timestamp(allow_null=True, help_text="With the monthly allocations.")
    expiring_unused = ExpiringOut(many=True)
    next_allocation = NextAllocationOut(allow_null=True)
    reason = Choice(NO_FORECAST, allow_null=True)

    def get_burn_per_day(self, told: Forecast) -> float | None:
        return None if told.burn_per_day is None else float(round(told.burn_per_day, 2))
