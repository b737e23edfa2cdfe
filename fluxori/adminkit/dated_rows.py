"""Admin pages for configuration that staff edit, with its history, and for rows that take effect at a given time.

``HistoryAdmin`` keeps every version of a row, and the reason for each change. ``DatedAdmin`` is for rows with an
``effective_from``: a new row is added instead of changing an old one. The database enforces the same rules.
"""

from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin as DjangoModelAdmin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import ProgrammingError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from simple_history.admin import SimpleHistoryAdmin
from unfold.widgets import UnfoldAdminTextInputWidget

from fluxori.adminkit.changelist import BaseAdmin
from fluxori.adminkit.fields import TimestampField
from fluxori.adminkit.formatting import NEVER_FROM, is_never
from fluxori.adminkit.names import VisibleNames
from fluxori.adminkit.whole_numbers import WHOLE_NUMBERS
from fluxori.core import clock

_RAISE_EXCEPTION = "P0001"  # the SQLSTATE of an exception that a trigger raises


class ReasonedForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form for a change of configuration that requires a reason, which is stored in the history."""

    change_reason = forms.CharField(
        label="Reason",
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text="Why you make this change. The history shows it with your name.",
    )


class HistoryAdmin(SimpleHistoryAdmin, VisibleNames, BaseAdmin):  # type: ignore[misc]
    """A model with versions that staff can read. Rows are never deleted or reverted: other rows refer to them."""

    actions = None
    formfield_overrides: ClassVar[Any] = WHOLE_NUMBERS

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # simple-history reads the reason from this attribute.
        obj._change_reason = form.cleaned_data.get("change_reason")  # noqa: SLF001 - its documented name
        super().save_model(request, obj, form, change)

    def affected(self, request: HttpRequest, obj: Any) -> list[str]:
        """Return sentences that say who is affected by a change. Subclasses override this."""
        return []

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **options: Any) -> Any:
        affected = self.affected(request, options.get("obj"))
        return super().render_change_form(request, {**context, "affected": affected}, **options)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def revert_disabled(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.is_valid_key(unquote(object_id)):
            raise Http404("There is no such row.")
        response: HttpResponse = super().history_view(request, object_id, extra_context)
        return response

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # An earlier version is shown in a form. Submitting that form would bypass the checks of the change form.
        if request.method != "GET":
            raise PermissionDenied
        if not (self.is_valid_key(object_id) and version_id.isdecimal()):
            raise Http404("There is no such version.")
        response: HttpResponse = super().history_form_view(request, object_id, version_id, extra_context)
        return response


class DatedForm(ReasonedForm):
    """A form for a row that takes effect now, or at a later time that the form gives."""

    effective_from = TimestampField(required=False, help_text="Leave it empty to start now.")

    def clean_effective_from(self) -> datetime:
        now = clock.now()
        effective_from: datetime = self.cleaned_data["effective_from"] or now
        if effective_from < now:
            raise forms.ValidationError("Past charges do not change. Start now or later.")
        if is_never(effective_from):
            raise forms.ValidationError(f"Start before the year {NEVER_FROM.year}.")
        return effective_from


class DatedAdmin(HistoryAdmin):
    """Rows with an ``effective_from``. They can be added, and deleted before they take effect, but never changed."""

    form = DatedForm
    change_form_template = "admin/credits/dated_change_form.html"

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed: bool = DjangoModelAdmin.has_delete_permission(self, request, obj)
        return allowed and obj is not None and obj.effective_from > clock.now()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "POST":
            messages.error(request, self.immutable_notice)
            return HttpResponseRedirect(request.path)
        context = {**(extra_context or {}), "immutable_notice": self.immutable_notice}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            response: HttpResponse = super().delete_view(request, object_id, extra_context)
        except ProgrammingError as error:
            if getattr(error.__cause__, "sqlstate", None) != _RAISE_EXCEPTION:
                raise
            # The row took effect while the confirmation page was open.
            messages.error(request, self.immutable_notice)
            return HttpResponseRedirect("../change/")
        return response

    @property
    def immutable_notice(self) -> str:
        return f"A {self.opts.verbose_name} is never overwritten. Add a new one: it replaces this one from its date on."
