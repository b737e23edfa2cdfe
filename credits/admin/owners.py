"""Owners in the admin: their names, and searches for them that use an index.

A search finds users and organizations first and then the rows that refer to them, so it does not scan the table of the
list. Lists of rows that belong to a balance subclass :class:`OwnedAdmin`.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest

from credits.models import CreditBalance
from fluxori.adminkit.formatting import NOTHING, change_link_html, name_html
from fluxori.adminkit.read_only import ReadOnlyAdmin
from fluxori.identity import queries as identity_queries
from fluxori.identity.models import Organization, User

_SEARCH_LIMIT = 100


def get_owner_or_404(key: UUID) -> User | Organization:
    """Return the user or the organization with this id, with or without a balance.

    :raises Http404: there is neither
    """
    owner = User.objects.filter(pk=key).first() or Organization.objects.filter(pk=key).first()
    if owner is None:
        raise Http404("There is no such user and no such organization.")
    return owner


def search_owners(term: str, *, limit: int = _SEARCH_LIMIT) -> list[User | Organization]:
    """Return the users and organizations that match: by id, by the start of the e-mail, or of a word of the name."""
    key = parse_uuid(term)
    if key is not None:
        return [*User.objects.filter(pk=key), *Organization.objects.filter(pk=key)]
    return [*identity_queries.users_like(term, limit=limit), *identity_queries.organizations_like(term, limit=limit)]


def parse_uuid(text: str) -> UUID | None:
    """Return ``text`` as a UUID, or None if it is not one."""
    try:
        return UUID(text)
    except ValueError:
        return None


def owner_name(balance: CreditBalance | None) -> str:
    """Return the e-mail of the user or the name of the organization that owns the balance."""
    if balance is None:
        return NOTHING
    return str(balance.user if balance.user_id else balance.organization)


class OwnedAdmin(ReadOnlyAdmin):
    """A read-only list of rows that belong to a balance, with a search by owner.

    The search looks up users and organizations, then the rows that refer to one of them in ``owner_fields``, each the
    first column of an index. If no owner matches, ``exact_search_fields`` are compared with the term.
    """

    owner_fields: Iterable[str] = ("balance_id",)
    link_filters: Any = ("balance",)
    exact_search_fields: Iterable[str] = ()
    search_fields: Any = ("pk",)
    search_help_text: Any = "E-mail, organization or id"
    list_select_related: Any = ("balance__user", "balance__organization")
    export_columns: Any = {"owner": lambda row: owner_name(row.balance)}

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        term = search_term.strip()
        if not term:
            return queryset, False
        if "\x00" in term:
            return queryset.none(), False
        key = parse_uuid(term)
        if key is not None:
            return queryset.filter(Q(pk=key) | self._belongs_to([key])), False
        owner_ids = [owner.pk for owner in search_owners(term)]
        if owner_ids:
            return queryset.filter(self._belongs_to(owner_ids)), False
        return queryset.filter(_any_of((field, term) for field in self.exact_search_fields)), False

    def _belongs_to(self, owner_ids: list[UUID]) -> Q:
        return _any_of((f"{field}__in", owner_ids) for field in self.owner_fields)

    @admin.display(description="owner")
    def owner(self, row: Any) -> str:
        return change_link_html("credits.creditbalance", row.balance_id, name_html(owner_name(row.balance)))


def _any_of(conditions: Iterable[tuple[str, Any]]) -> Q:
    combined = Q(pk__in=())
    for lookup, value in conditions:
        combined |= Q(**{lookup: value})
    return combined
