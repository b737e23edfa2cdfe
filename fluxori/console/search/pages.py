"""Find: one box that takes what a customer or a log line gives, and goes there.

Every look-up stands on an index of its own, so that it costs the same among ten million transactions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from credits.admin.owners import name_of, people_like, uuid_of
from credits.models import CreditBalance, CreditGrant, CreditHold, CreditTransaction
from fluxori.adminkit.read_only import format_credits, format_timestamp
from fluxori.console.links import page
from fluxori.identity import queries as organizations
from fluxori.identity.models import Organization, User

LIMIT = 20


@dataclass(frozen=True, slots=True)
class Hit:
    """Something found: what to call it, what tells it from others, and where it is."""

    title: str
    about: str
    url: str
    icon: str
    exact: bool = False


def find(request: HttpRequest, term: str) -> list[Hit]:
    """Return what ``term`` names, of what this member of staff may see; only the exact hits where there are any."""
    term = term.strip()
    if not term or "\x00" in term:
        return []
    key = uuid_of(term)
    found = list(_by_id(request, key) if key is not None else _by_words(request, term))
    return [hit for hit in found if hit.exact] or found


def _by_id(request: HttpRequest, key: UUID) -> Iterator[Hit]:
    if _sees(request, CreditBalance, User, Organization):
        yield from _people(request, people_like(str(key)), str(key))
    owners = ("balance__user", "balance__organization")
    if _sees(request, CreditTransaction):
        for recorded in CreditTransaction.objects.filter(pk=key).select_related(*owners):
            yield _transaction(recorded)
    if _sees(request, CreditHold):
        for held in CreditHold.objects.filter(pk=key).select_related(*owners):
            yield _hold(held)
    if _sees(request, CreditGrant):
        for given in CreditGrant.objects.filter(pk=key).select_related(*owners):
            said = f"{format_credits(given.amount)} credits to {name_of(given.balance)}"
            yield Hit(f"Grant, {given.source}", said, _page(given), "redeem", exact=True)


def _by_words(request: HttpRequest, term: str) -> Iterator[Hit]:
    owners = ("balance__user", "balance__organization")
    if _sees(request, CreditTransaction):
        named = CreditTransaction.objects.filter(reference_id=term).select_related(*owners).order_by("-pk")
        yield from map(_transaction, named[:LIMIT])
    if _sees(request, CreditHold):
        held = CreditHold.objects.filter(reference_id=term).select_related(*owners).order_by("-pk")
        yield from map(_hold, held[:LIMIT])
    if _sees(request, CreditBalance, User, Organization):
        yield from _people(request, people_like(term, limit=LIMIT), term)


def _people(request: HttpRequest, people: list[User | Organization], term: str) -> Iterator[Hit]:
    balances = CreditBalance.objects.in_bulk([whom.pk for whom in people])
    for whom in people:
        balance = balances.get(whom.pk)
        kind, icon = ("User", "person") if isinstance(whom, User) else ("Organization", "groups")
        exact = term.lower() in {str(whom).lower(), str(whom.pk), (whom.external_id or "").lower()}
        if balance is not None and _sees(request, CreditBalance):
            yield Hit(str(whom), f"{kind}, balance {format_credits(balance.balance)}", _page(balance), icon, exact)
        elif _sees(request, type(whom)):
            yield Hit(str(whom), f"{kind}, no balance yet", _page(whom), icon, exact)
        if exact and isinstance(whom, User) and _sees(request, CreditBalance):
            yield from _pools(whom)


def _pools(member: User) -> Iterator[Hit]:
    """Yield the pools that somebody belongs to: their credits may have gone there."""
    for seat in organizations.organizations_of(member.pk)[:LIMIT]:
        if CreditBalance.objects.filter(pk=seat.organization_id).exists():
            said = f"Organization, where {member} is {seat.get_role_display().lower()}"
            url = page("credits_creditbalance", seat.organization_id)
            yield Hit(str(seat.organization), said, url, "groups", exact=True)


def _transaction(recorded: CreditTransaction) -> Hit:
    title = f"{recorded.get_type_display()} {recorded.amount:+,}"
    said = f"{name_of(recorded.balance)}, {format_timestamp(recorded.timestamp)}"
    return Hit(title, said, _page(recorded), "receipt_long", exact=True)


def _hold(held: CreditHold) -> Hit:
    said = f"{name_of(held.balance)}, {format_timestamp(held.created_at)}"
    return Hit(f"Hold of {format_credits(held.amount)}, {held.status}", said, _page(held), "lock_clock", exact=True)


def _page(row: Model) -> str:
    return page(row._meta.label_lower.replace(".", "_"), row.pk)  # noqa: SLF001


def _sees(request: HttpRequest, *models: type[Model]) -> bool:
    site = admin.site
    return any(site.get_model_admin(model).has_view_permission(request) for model in models)


def find_view(request: HttpRequest) -> HttpResponse:
    """Go to what ``?q=`` names where it is one thing; list it where it is several.

    With ``suggest`` the first few are answered as a fragment for the search box.
    """
    term = request.GET.get("q", "")
    hits = find(request, term)
    if "suggest" in request.GET:
        return TemplateResponse(request, "admin/console/suggestions.html", {"hits": hits[:8], "term": term.strip()})
    if len(hits) == 1:
        return HttpResponseRedirect(hits[0].url)
    context: dict[str, Any] = {**admin.site.each_context(request), "title": "Find", "hits": hits, "term": term.strip()}
    return TemplateResponse(request, "admin/console/find.html", context)
