"""Filters of the ledger's lists."""

from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import QueryDict

from credits import queries, tier_registry
from credits.api.serializers.common import MAX_CODE, OWNER_FIELDS, OwnerQuery
from credits.api.serializers.grants import GRANT_STATUSES
from credits.domain import constants
from credits.models import CreditHold, CreditTransaction
from fluxori.api.fields import Choice, Id, Text, Timestamp, WholeNumber
from fluxori.api.filters import Filters, QueryFilter
from fluxori.api.names import camel
from fluxori.core import clock

_OWNER_NAMES = {camel(name) for name in OWNER_FIELDS}


class OwnerFilters(Filters):
    """Accepts the owner parameters and ignores them: the view has selected the owner's rows already."""

    user_id = QueryFilter(Id(), method="ignore")
    organization_id = QueryFilter(Id(), method="ignore")

    def ignore(self, queryset: QuerySet[Any], name: str, value: Any) -> QuerySet[Any]:  # noqa: ARG002 - django-filter's
        return queryset


def owner_in(params: QueryDict) -> dict[str, Any]:
    """Return the owner parameters of a list's query.

    :raises InvalidInputError: one of them is invalid
    """
    owner_params = QueryDict(mutable=True)
    for written_name, texts in params.lists():
        if camel(written_name) in _OWNER_NAMES:
            owner_params.setlist(written_name, texts)
    return OwnerQuery.parse(owner_params)


class HistoryFilters(OwnerFilters):
    type = QueryFilter(Choice(CreditTransaction.Type.choices))
    feature = QueryFilter(Text(max_length=MAX_CODE))
    from_ = QueryFilter(Timestamp(), field_name="timestamp", lookup_expr="gte")
    to = QueryFilter(Timestamp(), field_name="timestamp", lookup_expr="lt")
    reference_id = QueryFilter(Text(max_length=constants.MAX_REFERENCE_ID))
    member_id = QueryFilter(Id(), field_name="member")


class GrantFilters(OwnerFilters):
    status = QueryFilter(Choice(GRANT_STATUSES))


class HoldFilters(OwnerFilters):
    status = QueryFilter(Choice(CreditHold.Status.choices), field_name="current_status")


class BalanceFilters(Filters):
    tier = QueryFilter(Text(max_length=MAX_CODE), method="filter_by_tier")
    max_available = QueryFilter(WholeNumber(min_value=0, max_value=constants.MAX_CREDITS), method="filter_by_available")

    def filter_by_tier(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:  # noqa: ARG002 - django-filter's
        return tier_registry.filter_by_tier(queryset, value, at=clock.now())

    def filter_by_available(self, queryset: QuerySet[Any], name: str, value: int) -> QuerySet[Any]:  # noqa: ARG002 - likewise
        return queries.filter_by_available(queryset, value, at=clock.now())


def in_balances(balance_ids: set[UUID] | None) -> Q:
    """Return the condition for rows of these balances; None means all balances."""
    return Q() if balance_ids is None else Q(balance__in=balance_ids)
