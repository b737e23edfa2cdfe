"""The admin page of approval requests, on which a second person decides and a requester withdraws."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import display

from credits.admin.owners import OwnedAdmin
from fluxori.adminkit.changelist import DateRangeFilter
from fluxori.adminkit.columns import credits_column, name_column, timestamp_column
from fluxori.adminkit.formatting import change_link_html, format_credits, name_html
from fluxori.console import errors
from fluxori.console.actions.admin import ActionFilter
from fluxori.console.actions.catalogue import ACTIONS
from fluxori.console.actions.operations import preview
from fluxori.console.actions.pages import account_url
from fluxori.console.approvals import operations
from fluxori.console.approvals.forms import DecisionForm
from fluxori.console.login.two_factor import page_before_approval
from fluxori.console.models import ApprovalRequest, StaffAction
from fluxori.core import clock
from fluxori.core.errors import DomainError

_COLOURS = {"pending": "warning", "approved": "success", "declined": "danger", "withdrawn": "default"}


@admin.register(ApprovalRequest)
class ApprovalRequestAdmin(OwnedAdmin):
    ordering = ("-requested_at", "-pk")
    empty_message = "No approval was requested yet. A staff action above a ceiling can be requested here."
    list_display = ["when", "owner", "action_title", "credit_count", "reason", "requester", "state", "decider"]
    list_display_links = ["when"]
    requester = name_column("requested_by")
    decider = name_column("decided_by")
    when = timestamp_column("requested_at", "requested")
    credit_count = credits_column("credits")
    list_filter = ["status", ActionFilter, "reason", ("requested_at", DateRangeFilter)]
    list_select_related = ["user", "organization", "requested_by", "decided_by"]
    saved_links = [("Pending", "status__exact=pending"), ("Declined", "status__exact=declined")]
    link_filters = ()
    owner_fields = ("user_id", "organization_id", "requested_by_id")
    exact_search_fields = ["ticket"]
    search_help_text = "Customer, staff, ticket or id"
    export_columns = {
        "owner": lambda row: row.owner,
        "requested_by": lambda row: row.requested_by,
        "decided_by": lambda row: row.decided_by,
    }

    @display(description="status", label=_COLOURS)  # type: ignore[untyped-decorator]
    def state(self, row: ApprovalRequest) -> tuple[str, str]:
        return row.status, row.get_status_display()

    @admin.display(description="owner")
    def owner(self, row: ApprovalRequest) -> str:
        return change_link_html("credits.creditbalance", row.owner_id, name_html(row.owner))

    @admin.display(description="staff action")
    def action_title(self, row: ApprovalRequest) -> str:
        return ACTIONS[row.action].title

    def change_view(
        self, request: Any, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            missing: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return missing
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if request.method == "POST":
            return self.decide(request, row)
        return self.request_page(request, row, DecisionForm())

    def decide(self, request: Any, row: ApprovalRequest) -> HttpResponse:
        """Execute the decision of the form. The operations check the permission for it."""
        form = DecisionForm(request.POST)
        if not form.is_valid():
            return self.request_page(request, row, form)
        if form.cleaned_data["decision"] == "approve" and (page := page_before_approval(request)) is not None:
            return page
        decision, note, at = form.cleaned_data["decision"], form.cleaned_data["note"], clock.now()
        try:
            if decision == "approve":
                result = operations.approve(request_id=row.pk, approver=request.user, note=note, at=at)
                messages.success(request, f"Approved. {result.row.summary}")
                return HttpResponseRedirect(account_url(request, row.owner))
            if decision == "withdraw":
                operations.withdraw(request_id=row.pk, actor=request.user, note=note, at=at)
                messages.info(request, "Withdrawn. The balance did not change.")
            else:
                operations.decline(request_id=row.pk, decider=request.user, note=note, at=at)
                messages.info(request, "Declined. The balance did not change.")
        except errors.StaffPermissionError as error:
            raise PermissionDenied(error.detail) from error
        except DomainError as error:
            form.add_domain_error(error)
            return self.request_page(request, self.get_object(request, str(row.pk)), form)
        return HttpResponseRedirect(reverse("admin:console_approvalrequest_changelist"))

    def request_page(self, request: Any, row: ApprovalRequest, form: DecisionForm) -> HttpResponse:
        action = ACTIONS[row.action]
        is_own = row.requested_by_id == request.user.pk
        is_pending = row.status == ApprovalRequest.Status.PENDING
        may_decide = is_pending and not is_own and request.user.has_perm(operations.APPROVE_REQUESTS)
        current, error_detail = None, ""
        if is_pending:
            try:
                action_request = operations.action_request_from(row, at=clock.now())
                current = preview(action_request, authority=request.user if may_decide else None)
            except DomainError as error:
                error_detail = error.detail
        requested = _describe_request(row)
        context = {
            **self.admin_site.each_context(request),
            "title": current.button if current else f"{action.title}: {row.owner}",
            "opts": self.opts,
            "row": row,
            "action": action,
            "requested": requested,
            "form": form,
            "is_own": is_own,
            "is_pending": is_pending,
            "may_decide": may_decide,
            "may_approve": may_decide and request.user.has_perm(action.permission),
            "preview": current,
            "facts": [fact for fact in current.facts if fact[0] not in dict(requested)] if current else [],
            "error_detail": error_detail,
            "staff_action": StaffAction.objects.filter(approval_request=row).first(),
            "back_url": reverse("admin:console_approvalrequest_changelist"),
            "account_link": change_link_html("credits.creditbalance", row.owner_id, str(row.owner)),
        }
        return TemplateResponse(request, "admin/console/approval_request.html", context)


def _describe_request(row: ApprovalRequest) -> list[tuple[str, Any]]:
    """Return labelled facts about a request: the requester, the action and the reason."""
    facts = [
        ("Requested by", row.requested_by),
        ("Staff action", ACTIONS[row.action].title),
        ("Credits", format_credits(row.credits)),
        ("Reason", row.get_reason_display()),
        ("Note", row.note),
        ("Ticket", row.ticket),
    ]
    return [(label, value) for label, value in facts if value]
