"""Configuration that staff edit, with its history; and what is dated, which is added to and never overwritten."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin as DjangoModelAdmin
from django.core.exceptions import PermissionDenied
from django.db import ProgrammingError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextInputWidget

from fluxori.core import clock

_RAISED = "P0001"  # what a trigger's refusal is to PostgreSQL


class ReasonedForm(forms.ModelForm):  # type: ignore[type-arg]
    """A change of configuration, and why: kept in the history beside who made it."""

    change_reason = forms.CharField(
        label="Reason",
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text="Why you change it. It stands in the history, beside your name.",
    )


class HistoryAdmin(SimpleHistoryAdmin, ModelAdmin):  # type: ignore[misc]
    """A model whose earlier versions staff can read. Nothing is deleted, since history refers to it, or reverted."""

    actions = None

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # Where simple-history looks for it.
        obj._change_reason = form.cleaned_data.get("change_reason")  # noqa: SLF001 - its documented name
        super().save_model(request, obj, form, change)

    def affected(self, request: HttpRequest, obj: Any) -> list[str]:
        """Return in sentences whom a change touches; a subclass knows."""
        return []

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **about: Any) -> Any:
        told = {"affected": self.affected(request, about.get("obj"))}
        return super().render_change_form(request, {**context, **told}, **about)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def revert_disabled(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # An earlier version is shown in a form; sending it would write around the checks of the page.
        if request.method != "GET":
            raise PermissionDenied
        shown: HttpResponse = super().history_form_view(request, object_id, version_id, extra_context)
        return shown


class DatedForm(ReasonedForm):
    """Something that holds from an instant on: from now, unless a later one is given."""

    effective_from = forms.DateTimeField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
        help_text="In your time zone. Leave it empty to begin now.",
    )

    def clean_effective_from(self) -> datetime:
        now = clock.now()
        asked: datetime = self.cleaned_data["effective_from"] or now
        if asked < now:
            raise forms.ValidationError("What has been charged stays as it was: begin now or later.")
        return asked


class DatedAdmin(HistoryAdmin):
    """Rows with an ``effective_from``: added, and withdrawn while they have not begun. The database refuses more."""

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
            messages.error(request, self.never_overwritten)
            return HttpResponseRedirect(request.path)
        shown: HttpResponse = super().change_view(
            request, object_id, form_url, {**(extra_context or {}), "never_overwritten": self.never_overwritten}
        )
        return shown

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            shown: HttpResponse = super().delete_view(request, object_id, extra_context)
        except ProgrammingError as fault:
            if getattr(fault.__cause__, "sqlstate", None) != _RAISED:
                raise
            # It began while the question was on the screen.
            messages.error(request, self.never_overwritten)
            return HttpResponseRedirect("../change/")
        return shown

    @property
    def never_overwritten(self) -> str:
        name = self.opts.verbose_name
        return f"A {name} is never overwritten. Add a new one: it takes over from the instant you give it."
