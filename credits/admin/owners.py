"""Whose credits: how an owner is named, searched for and found, without reading every balance."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest

from credits.models import CreditBalance
from fluxori.adminkit.formatting import NOTHING, change_link_html, name_html
from fluxori.adminkit.read_only import ReadOnlyAdmin
from fluxori.identity import queries as people
from fluxori.identity.models import Organization, User

_ENOUGH = 100


def whom_or_404(key: UUID) -> User | Organization:
    """Return the user or the organization with this id, whether or not it has a balance."""
    whom = User.objects.filter(pk=key).first() or Organization.objects.filter(pk=key).first()
    if whom is None:
        raise Http404("There is no such user and no such organization.")
    return whom


def people_like(term: str, *, limit: int = _ENOUGH) -> list[User | Organization]:
    """Return users whose e-mail, and organizations a word of whose name, begins with ``term``; by id too."""
    key = uuid_of(term)
    if key is not None:
        return [*User.objects.filter(pk=key), *Organization.objects.filter(pk=key)]
    return [*people.users_like(term, limit=limit), *people.organizations_like(term, limit=limit)]


def uuid_of(text: str) -> UUID | None:
    """Return the UUID that ``text`` spells, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None


def name_of(balance: CreditBalance | None) -> str:
    """Return the e-mail or the name of a balance's owner."""
    if balance is None:
        return NOTHING
    return str(balance.user if balance.user_id else balance.organization)


class OwnedAdmin(ReadOnlyAdmin):
    """Rows of one balance each, found by whose they are.

    People and organizations are looked up first, then the rows that name one of them in ``owner_fields``, each a column
    that leads an index; ``exact_search_fields`` names columns that are compared exactly where the words name nobody.
    """

    owner_fields: Iterable[str] = ("balance_id",)
    exact_search_fields: Iterable[str] = ()
    search_fields: Any = ("pk",)
    search_help_text: Any = "E-mail, organization or id"
    list_select_related: Any = ("balance__user", "balance__organization")
    export_columns: Any = {"owner": lambda row: name_of(row.balance)}

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        term = search_term.strip()
        if not term:
            return queryset, False
        key = uuid_of(term)
        if key is not None:
            return queryset.filter(Q(pk=key) | self._of([key])), False
        found = [whom.pk for whom in people_like(term)]
        if found:
            return queryset.filter(self._of(found)), False
        return queryset.filter(_any((field, term) for field in self.exact_search_fields)), False

    def _of(self, keys: list[UUID]) -> Q:
        return _any((f"{path}__in", keys) for path in self.owner_fields)

    @admin.display(description="owner")
    def owner(self, row: Any) -> str:
        return change_link_html("credits.creditbalance", row.balance_id, name_html(name_of(row.balance)))


def _any(conditions: Iterable[tuple[str, Any]]) -> Q:
    found = Q(pk__in=())
    for name, value in conditions:
        found |= Q(**{name: value})
    return found
