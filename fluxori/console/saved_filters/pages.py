"""Saving the filter of the list that is on the screen, and deleting a saved one: two buttons without pages."""

from typing import Any
from uuid import UUID

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup, NotRegistered
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse

from fluxori.adminkit.changelist import ListAdmin
from fluxori.console.actions import constants
from fluxori.console.models import SavedFilter
from fluxori.console.saved_filters.operations import keep_filter
from fluxori.core.errors import DomainError


class FilterForm(forms.Form):
    name = forms.CharField(
        max_length=constants.MAX_FILTER_NAME,
        error_messages={
            "required": "Give the filter a name.",
            "max_length": f"A name has at most {constants.MAX_FILTER_NAME} characters.",
        },
    )
    shared = forms.BooleanField(required=False)


def keep_view(request: Any, app: str, model: str) -> HttpResponse:
    """Keep the filter that the address asks for, spelled like that of the list, under a name.

    Whoever sees a list may keep filters of it: no row of the ledger knows of them.
    """
    page = _list_or_404(app, model)
    if request.method != "POST" or not page.has_view_permission(request):
        raise PermissionDenied
    of_list = page.opts.label_lower
    try:
        chosen: str = page.get_changelist_instance(request).chosen
    except (IncorrectLookupParameters, DisallowedModelAdminLookup):
        messages.error(request, "This list has no such filter.")
        return _to(of_list)
    if not chosen:
        messages.error(request, "This is the whole list. Filter it first, then save the filter.")
        return _to(of_list)
    form = FilterForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(str(fault) for faults in form.errors.values() for fault in faults))
        return _to(of_list, chosen)
    try:
        kept = keep_filter(owner=request.user, of_list=of_list, query=chosen, **form.cleaned_data)
        messages.success(request, f"Saved as \u201c{kept.name}\u201d{', for everybody' if kept.shared else ''}.")
    except DomainError as refusal:
        messages.error(request, refusal.detail)
    return _to(of_list, chosen)


def forget_view(request: Any, key: UUID) -> HttpResponse:
    """Delete a filter of one's own. One lands on what it showed, from where it can be saved again."""
    if request.method != "POST":
        raise PermissionDenied
    kept = get_object_or_404(SavedFilter, pk=key, owner=request.user)
    kept.delete()
    messages.success(request, f"Deleted the filter \u201c{kept.name}\u201d.")
    return _to(kept.of_list, kept.query)


def _list_or_404(app: str, model: str) -> Any:
    try:
        page = admin.site.get_model_admin(apps.get_model(app, model))
    except (LookupError, NotRegistered) as missing:
        raise Http404("There is no such list.") from missing
    if not isinstance(page, ListAdmin):
        raise Http404("Filters of this list are not kept.")
    return page


def _to(of_list: str, query: str = "") -> HttpResponseRedirect:
    # Always a list of the admin: the query cannot lead elsewhere.
    address = reverse(f"admin:{of_list.replace('.', '_')}_changelist")
    return HttpResponseRedirect(f"{address}?{query}" if query else address)
