"""The search of the console: one box for e-mails, organization names, references and ids.

Every lookup uses an index, so the cost does not depend on the number of transactions. Staff find only rows that they
may view.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from credits import queries
from credits.admin.owners import owner_name, parse_uuid, search_owners
from credits.models import CreditBalance, CreditGrant, CreditHold, CreditTransaction
from fluxori.adminkit.formatting import format_credits, format_timestamp
from fluxori.console.links import change_url
from fluxori.core import clock
from fluxori.identity import queries as identity_queries
from fluxori.identity.models import Organization, User

LIMIT = 20
SUGGESTIONS = 8
_OWNERS = ("balance__user", "balance__organization")


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A row that matches. ``details`` distinguish rows with the same title; ``exact`` results exclude all others."""

    title: str
    details: str
    url: str
    icon: str
    exact: bool = False


def search(request: HttpRequest, term: str) -> list[SearchResult]:
    """Return the rows that match ``term`` and that the user may view; only exact matches if there are any."""
    term = term.strip()
    if not term or "\x00" in term:
        return []
    key = parse_uuid(term)
    results = list(_search_by_id(request, key) if key is not None else _search_by_text(request, term))
    return [result for result in results if result.exact] or results


def _search_by_id(request: HttpRequest, key: UUID) -> Iterator[SearchResult]:
    if _may_view(request, CreditBalance, User, Organization):
        yield from _owner_results(request, search_owners(str(key)), str(key))
    if _may_view(request, CreditTransaction):
        for transaction in CreditTransaction.objects.filter(pk=key).select_related(*_OWNERS):
            yield _transaction_result(transaction)
    if _may_view(request, CreditHold):
        yield from _hold_results(CreditHold.objects.filter(pk=key))
    if _may_view(request, CreditGrant):
        for grant in CreditGrant.objects.filter(pk=key).select_related(*_OWNERS):
            details = f"{format_credits(grant.amount)} credits to {owner_name(grant.balance)}"
            yield SearchResult(f"Grant, {grant.source}", details, _row_url(grant), "redeem", exact=True)


def _search_by_text(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    if _may_view(request, CreditTransaction):
        transactions = CreditTransaction.objects.filter(reference_id=term).select_related(*_OWNERS).order_by("-pk")
        yield from map(_transaction_result, transactions[:LIMIT])
    if _may_view(request, CreditHold):
        yield from _hold_results(CreditHold.objects.filter(reference_id=term).order_by("-pk")[:LIMIT])
    if _may_view(request, CreditBalance, User, Organization):
        yield from _owner_results(request, search_owners(term, limit=LIMIT), term)


def _owner_results(request: HttpRequest, owners: list[User | Organization], term: str) -> Iterator[SearchResult]:
    balances = CreditBalance.objects.in_bulk([owner.pk for owner in owners])
    queries.settle_balances(list(balances.values()), at=clock.now())
    for owner in owners:
        balance = balances.get(owner.pk)
        kind, icon = ("User", "person") if isinstance(owner, User) else ("Organization", "groups")
        exact = term.lower() in {str(owner).lower(), str(owner.pk), (owner.external_id or "").lower()}
        if balance is not None and _may_view(request, CreditBalance):
            details = f"{kind}, balance {format_credits(balance.balance)}"
            yield SearchResult(str(owner), details, _row_url(balance), icon, exact)
        elif _may_view(request, type(owner)):
            yield SearchResult(str(owner), f"{kind}, no balance yet", _row_url(owner), icon, exact)
        if exact and isinstance(owner, User) and _may_view(request, CreditBalance):
            yield from _organization_results(owner)


def _organization_results(member: User) -> Iterator[SearchResult]:
    """Yield the organizations of a user that have a balance: the user may have spent from it."""
    for membership in identity_queries.organizations_of(member.pk)[:LIMIT]:
        if CreditBalance.objects.filter(pk=membership.organization_id).exists():
            details = f"Organization, in which {member} is {membership.get_role_display().lower()}"
            url = change_url("credits_creditbalance", membership.organization_id)
            yield SearchResult(str(membership.organization), details, url, "groups", exact=True)


def _transaction_result(transaction: CreditTransaction) -> SearchResult:
    title = f"{transaction.get_type_display()} {transaction.amount:+,}"
    details = f"{owner_name(transaction.balance)}, {format_timestamp(transaction.timestamp)}"
    return SearchResult(title, details, _row_url(transaction), "receipt_long", exact=True)


def _hold_results(rows: QuerySet[CreditHold]) -> Iterator[SearchResult]:
    holds = list(rows.select_related(*_OWNERS))
    queries.settle_holds(holds, at=clock.now())
    for hold in holds:
        title = f"Hold of {format_credits(hold.amount)}, {hold.status}"
        details = f"{owner_name(hold.balance)}, {format_timestamp(hold.created_at)}"
        yield SearchResult(title, details, _row_url(hold), "lock_clock", exact=True)


def _row_url(row: Model) -> str:
    return change_url(row._meta.label_lower.replace(".", "_"), row.pk)  # noqa: SLF001 - Django documents it


def _may_view(request: HttpRequest, *models: type[Model]) -> bool:
    """Return whether the user may view at least one of the models."""
    return any(admin.site.get_model_admin(model).has_view_permission(request) for model in models)


def search_view(request: HttpRequest) -> HttpResponse:
    """Redirect to the page of the only result of ``?q=``, or list all results.

    With ``suggest`` the response is a fragment with the first results, for the search box.
    """
    term = request.GET.get("q", "")
    results = search(request, term)
    if "suggest" in request.GET:
        context = {"results": results[:SUGGESTIONS], "term": term.strip()}
        return TemplateResponse(request, "admin/console/suggestions.html", context)
    if len(results) == 1:
        return HttpResponseRedirect(results[0].url)
    page: dict[str, Any] = {**admin.site.each_context(request), "title": "Search", "results": results}
    return TemplateResponse(request, "admin/console/search.html", {**page, "term": term.strip()})
