"""How lists of credits are narrowed."""

from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict

from credits import queries
from credits.api.serializers import MAX_CODE, OWNER, STATUSES, OwnerQuery
from credits.domain import constants
from credits.models import CreditHold, CreditTransaction
from fluxori.api.fields import Choice, Id, Text, Timestamp, WholeNumber
from fluxori.api.filters import Filters, QueryFilter
from fluxori.api.names import camel
from fluxori.core import clock
from tiers.queries import on_tier

_OWNER = {camel(name) for name in OWNER}


class OfOneOwner(Filters):
    """The owner stands in the same query; the door has found the owner's rows before the rest narrows them."""

    user_id = QueryFilter(Id(), method="pass_by")
    organization_id = QueryFilter(Id(), method="pass_by")

    def pass_by(self, queryset: QuerySet[Any], name: str, value: Any) -> QuerySet[Any]:  # noqa: ARG002 - their signature
        return queryset


def owner_in(params: QueryDict) -> dict[str, Any]:
    """Return what a list's query says of the owner.

    :raises BadInput: naming the parameter that cannot be understood
    """
    named = QueryDict(mutable=True)
    for written, texts in params.lists():
        if camel(written) in _OWNER:
            named.setlist(written, texts)
    return OwnerQuery.read(named)


class HistoryFilters(OfOneOwner):
    type = QueryFilter(Choice(CreditTransaction.Type.choices))
    feature = QueryFilter(Text(max_length=MAX_CODE))
    from_ = QueryFilter(Timestamp(), field_name="timestamp", lookup_expr="gte")
    to = QueryFilter(Timestamp(), field_name="timestamp", lookup_expr="lt")
    reference_id = QueryFilter(Text(max_length=constants.MAX_REFERENCE_ID))
    member_id = QueryFilter(Id(), field_name="member")


class GrantFilters(OfOneOwner):
    status = QueryFilter(Choice(STATUSES))


class HoldFilters(OfOneOwner):
    status = QueryFilter(Choice(CreditHold.Status.choices), field_name="standing")


class BalanceFilters(Filters):
    tier = QueryFilter(Text(max_length=MAX_CODE), method="on_tier")
    max_available = QueryFilter(WholeNumber(min_value=0, max_value=constants.MAX_CREDITS), method="having_at_most")

    def on_tier(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:  # noqa: ARG002 - their signature
        return queryset.filter(pk__in=on_tier(value, at=clock.now()).values("pk"))

    def having_at_most(self, queryset: QuerySet[Any], name: str, value: int) -> QuerySet[Any]:  # noqa: ARG002 - likewise
        return queries.filter_by_available(queryset, value, at=clock.now())
