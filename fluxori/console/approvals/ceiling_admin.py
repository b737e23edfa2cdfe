"""The admin page of ceilings: how many credits the members of each group may give."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from fluxori.adminkit.columns import credits_column, name_column
from fluxori.adminkit.dated_rows import HistoryAdmin, ReasonedForm
from fluxori.adminkit.formatting import NOTHING, format_credits
from fluxori.console import errors
from fluxori.console.approvals import ceilings
from fluxori.console.login.two_factor import page_before_approval
from fluxori.console.models import ManualCreditCeiling
from fluxori.core.errors import DomainError


class RaiseForm(forms.Form):
    """The decision on an increase, with the increase that the page showed."""

    decision = forms.ChoiceField(choices=[("confirm", "confirm"), ("reject", "reject")])
    per_action = forms.IntegerField()
    per_day = forms.IntegerField()
    proposed_by = forms.UUIDField()


@admin.register(ManualCreditCeiling)
class ManualCreditCeilingAdmin(HistoryAdmin):
    """The operations in ``approvals.ceilings`` write the rows: an increase waits for a second person."""

    form = ReasonedForm
    change_form_template = "admin/console/ceiling.html"
    list_display = ["group", "action_ceiling", "day_ceiling", "proposal", "proposer"]
    list_select_related = ["group", "proposed_by"]
    fields = ["group", "per_action", "per_day", "change_reason"]
    action_ceiling = credits_column("per_action", "credits per action")
    day_ceiling = credits_column("per_day", "credits per day")
    proposer = name_column("proposed_by")

    @admin.display(description="proposed increase")
    def proposal(self, row: ManualCreditCeiling) -> str:
        return describe_proposal(row) or NOTHING

    def affected(self, request: HttpRequest, obj: ManualCreditCeiling | None) -> list[str]:
        waits = "An increase takes effect when a second person confirms it."
        if obj is None:
            return [waits]
        members = obj.group.user_set.filter(is_active=True).count()
        return [
            "1 member of staff is in this group."
            if members == 1
            else f"{members:,} members of staff are in this group.",
            f"A decrease takes effect with their next staff action or approval. {waits}",
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: ManualCreditCeiling | None = None) -> Any:
        return ["group"] if obj else []

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.raise_view)
        return [path("<int:key>/raise/", view, name="console_manualcreditceiling_raise"), *super().get_urls()]

    def render_change_form(self, request: Any, context: dict[str, Any], **options: Any) -> Any:
        row = options.get("obj")
        if row is not None:
            context["row"] = row
            context["proposal"] = describe_proposal(row)
            context["may_confirm"] = row.proposed_by_id != request.user.pk
            context["may_reject"] = self.has_change_permission(request, row)
        return super().render_change_form(request, context, **options)

    def save_model(self, request: Any, obj: ManualCreditCeiling, form: Any, change: bool) -> None:
        values = {
            "per_action": form.cleaned_data["per_action"],
            "per_day": form.cleaned_data["per_day"],
            "actor": request.user,
            "reason": form.cleaned_data["change_reason"],
        }
        if change:
            saved = ceilings.change_ceiling(ceiling_id=obj.pk, **values)
        else:
            saved = ceilings.add_ceiling(group=obj.group, **values)
            obj.pk = saved.pk
        if saved.proposed_by_id is not None:
            messages.info(request, f"{describe_proposal(saved)} take effect when a second person confirms them.")

    def raise_view(self, request: Any, key: int) -> HttpResponse:
        """Confirm or reject the increase that is waiting. The operations check the permission."""
        if request.method != "POST":
            raise PermissionDenied
        form = RaiseForm(request.POST)
        row = self.get_object(request, str(key))
        if row is None or not form.is_valid():
            messages.error(request, errors.RaiseChangedError().detail)
            return HttpResponseRedirect(reverse("admin:console_manualcreditceiling_changelist"))
        if form.cleaned_data["decision"] == "confirm" and (page := page_before_approval(request)) is not None:
            return page
        decide = ceilings.confirm_raise if form.cleaned_data["decision"] == "confirm" else ceilings.reject_raise
        expected = ceilings.Raise(form.cleaned_data["per_action"], form.cleaned_data["per_day"])
        try:
            decide(ceiling_id=key, expected=expected, proposed_by=form.cleaned_data["proposed_by"], actor=request.user)
        except errors.StaffPermissionError as error:
            raise PermissionDenied(error.detail) from error
        except DomainError as error:
            messages.error(request, error.detail)
        else:
            verb = "Confirmed" if form.cleaned_data["decision"] == "confirm" else "Rejected"
            self.log_change(request, row, f"{verb} {describe_proposal(row)}.")
            messages.success(request, f"{verb} {describe_proposal(row)}.")
        return HttpResponseRedirect(reverse("admin:console_manualcreditceiling_change", args=[key]))


def describe_proposal(row: ManualCreditCeiling) -> str:
    """Return the increase that is waiting, or an empty text."""
    if row.proposed_by_id is None:
        return ""
    return f"{format_credits(row.proposed_per_action)} per action and {format_credits(row.proposed_per_day)} per day"
