"""The views behind the buttons of a list that save its current filter and delete a saved one."""

from typing import Any
from uuid import UUID

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse

from fluxori.adminkit.changelist import NO_SUCH_FILTER, BaseAdmin
from fluxori.adminkit.names import validate_name
from fluxori.console.models import SavedFilter
from fluxori.console.saved_filters import constants
from fluxori.console.saved_filters.operations import save_filter
from fluxori.core.errors import DomainError


class FilterForm(forms.Form):
    name = forms.CharField(
        max_length=constants.MAX_NAME_LENGTH,
        validators=[validate_name],
        error_messages={
            "required": "Enter a name for the filter.",
            "max_length": f"A name has at most {constants.MAX_NAME_LENGTH} characters.",
        },
    )
    shared = forms.BooleanField(required=False)


def save_filter_view(request: Any, app: str, model: str) -> HttpResponse:
    """Save the filter in the query string under the name in the form. Staff who see a list may save filters of it."""
    model_admin = _list_or_404(app, model)
    if request.method != "POST" or not model_admin.has_view_permission(request):
        raise PermissionDenied
    model_label = model_admin.opts.label_lower
    try:
        query: str = model_admin.get_changelist_instance(request).filter_query
    except IncorrectLookupParameters:
        messages.error(request, NO_SUCH_FILTER)
        return _redirect_to_list(model_label)
    if not query:
        messages.error(request, "The list is not filtered. Filter it first, then save the filter.")
        return _redirect_to_list(model_label)
    form = FilterForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
        return _redirect_to_list(model_label, query)
    try:
        saved = save_filter(owner=request.user, model_label=model_label, query=query, **form.cleaned_data)
        audience = ", for all staff" if saved.shared else ""
        messages.success(request, f"Saved as \u201c{saved.name}\u201d{audience}.")
    except DomainError as error:
        messages.error(request, error.detail)
    return _redirect_to_list(model_label, query)


def delete_filter_view(request: Any, key: UUID) -> HttpResponse:
    """Delete a filter of the user. The response leads to the list with that filter, where it can be saved again."""
    if request.method != "POST":
        raise PermissionDenied
    saved = get_object_or_404(SavedFilter, pk=key, owner=request.user)
    saved.delete()
    messages.success(request, f"Deleted the filter \u201c{saved.name}\u201d.")
    return _redirect_to_list(saved.model_label, saved.query)


def _list_or_404(app: str, model: str) -> Any:
    try:
        model_admin = admin.site.get_model_admin(apps.get_model(app, model))
    except (LookupError, NotRegistered) as error:
        raise Http404("There is no such list.") from error
    if not isinstance(model_admin, BaseAdmin):
        raise Http404("Filters of this list cannot be saved.")
    return model_admin


def _redirect_to_list(model_label: str, query: str = "") -> HttpResponseRedirect:
    # The path is always a list of the admin, so the query cannot redirect to another site.
    address = reverse(f"admin:{model_label.replace('.', '_')}_changelist")
    return HttpResponseRedirect(f"{address}?{query}" if query else address)
