"""What staff did, what waits for a second person, and how much each group may give."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.decorators import display

from credits.admin.dated import HistoryAdmin
from credits.admin.owners import OwnedAdmin, people_like, uuid_of
from credits.admin.read_only import ReadOnlyAdmin, credits_said, link, link_to
from fluxori.console import forms, operations
from fluxori.console.act_pages import ActPage, FindOwner, landing
from fluxori.console.acts import ACTS
from fluxori.console.models import ActRequest, ManualCreditCeiling, StaffAct
from fluxori.kernel import clock
from fluxori.kernel.errors import DomainError

APPROVE = "console.approve_requests"
_COLOURS = {"pending": "warning", "approved": "success", "declined": "danger", "withdrawn": "default"}


@admin.register(StaffAct)
class StaffActAdmin(OwnedAdmin):
    list_display = ["created_at", "owner", "what", "reason", "ticket", "actor", "approver"]
    list_display_links = ["created_at"]
    list_filter = ["act", "reason"]
    list_select_related = ["balance__user", "balance__organization", "actor", "approver"]
    also_by = ["ticket", "request_id"]
    search_help_text = "E-mail, organization, id, ticket or request id"
    fields = [
        "said",
        "owner",
        ("created_at", "actor", "approver"),
        ("reason", "ticket"),
        "note",
        "about",
        "moved_by",
        "before",
        "after",
        "arguments",
        ("credits", "authority"),
        "on_request",
        ("id", "request_id", "idempotency_key"),
    ]

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        act = wrap(ActPage.as_view(model_admin=self))
        return [
            path("to/", wrap(FindOwner.as_view(model_admin=self)), name="console_whom"),
            path("do/<slug:act>/<uuid:balance_id>/", act, name="console_act"),
            *super().get_urls(),
        ]

    @admin.display(description="done")
    def what(self, row: StaffAct) -> str:
        return row.said

    @admin.display(description="about")
    def about(self, row: StaffAct) -> str:
        for label, key in (
            ("credits.credittransaction", row.of_transaction_id),
            ("credits.creditgrant", row.of_grant_id),
            ("credits.credithold", row.of_hold_id),
        ):
            if key is not None:
                return link(label, key, str(key))
        return link_to(None)

    @admin.display(description="transaction")
    def moved_by(self, row: StaffAct) -> str:
        return link_to(row.transaction)


@admin.register(ActRequest)
class ActRequestAdmin(ReadOnlyAdmin):
    list_display = ["asked_at", "whom", "what", "gives", "reason", "asked_by", "state", "decided_by"]
    list_display_links = ["asked_at"]
    list_filter = ["status", "act"]
    list_select_related = ["user", "organization", "asked_by", "decided_by"]
    search_fields = ["pk"]
    search_help_text = "E-mail, organization, id or ticket"

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[ActRequest], search_term: str) -> Any:
        term = search_term.strip()
        if not term:
            return queryset, False
        key = uuid_of(term)
        if key is not None:
            return queryset.filter(pk=key) | queryset.filter(user=key) | queryset.filter(organization=key), False
        people = [whom.pk for whom in people_like(term)]
        owned = queryset.filter(user__in=people) | queryset.filter(organization__in=people)
        return owned | queryset.filter(ticket=term), False

    @display(description="status", label=_COLOURS)  # type: ignore[untyped-decorator]
    def state(self, row: ActRequest) -> tuple[str, str]:
        return row.status, row.get_status_display()

    @admin.display(description="account")
    def whom(self, row: ActRequest) -> str:
        return link("credits.creditbalance", row.owner_id, str(row.whom))

    @admin.display(description="credits")
    def gives(self, row: ActRequest) -> str:
        return credits_said(row.credits)

    @admin.display(description="act")
    def what(self, row: ActRequest) -> str:
        return ACTS[row.act].title

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
        return self.request_page(request, row, forms.DecisionForm())

    def decide(self, request: Any, row: ActRequest) -> HttpResponse:
        withdrawing = "withdraw" in request.POST
        if not withdrawing and not request.user.has_perm(APPROVE):
            raise PermissionDenied
        form = forms.DecisionForm(request.POST)
        if not form.is_valid():
            return self.request_page(request, row, form)
        note, at = form.cleaned_data["note"], clock.now()
        try:
            if "approve" in request.POST:
                done = operations.approve(request_id=row.pk, approver=request.user, note=note, at=at)
                messages.success(request, f"Approved. {done.row.said}")
                return HttpResponseRedirect(landing(request, row.whom))
            if withdrawing:
                operations.withdraw(request_id=row.pk, actor=request.user, note=note, at=at)
                messages.info(request, "Withdrawn. Nothing happened.")
            else:
                operations.decline(request_id=row.pk, decider=request.user, note=note, at=at)
                messages.info(request, "Declined. Nothing happened.")
        except DomainError as refusal:
            form.refused(refusal)
            return self.request_page(request, self.get_object(request, str(row.pk)), form)
        return HttpResponseRedirect(reverse("admin:console_actrequest_changelist"))

    def request_page(self, request: Any, row: ActRequest, form: forms.DecisionForm) -> HttpResponse:
        own = row.asked_by_id == request.user.pk
        pending = row.status == ActRequest.Status.PENDING
        may_decide = pending and not own and request.user.has_perm(APPROVE)
        preview, refusal = None, ""
        if pending:
            try:
                order = operations.order_of(row, at=clock.now())
                preview = operations.preview(order, authority=request.user if may_decide else None)
            except DomainError as refused:
                refusal = refused.detail
        context = {
            **self.admin_site.each_context(request),
            "title": f"{ACTS[row.act].title} of {row.whom}" if not preview else preview.button,
            "opts": self.opts,
            "row": row,
            "act": ACTS[row.act],
            "asked": _asked_said(row),
            "form": form,
            "own": own,
            "pending": pending,
            "may_decide": may_decide,
            "preview": preview,
            "refusal": refusal,
            "done": StaffAct.objects.filter(on_request=row).first(),
            "back": reverse("admin:console_actrequest_changelist"),
            "account": link("credits.creditbalance", row.owner_id, str(row.whom)),
        }
        return TemplateResponse(request, "admin/console/request.html", context)


def _asked_said(row: ActRequest) -> list[tuple[str, Any]]:
    """Return who asked for what, and why, in words."""
    said = [
        ("Asked by", row.asked_by),
        ("Act", ACTS[row.act].title),
        ("Credits it gives", credits_said(row.credits)),
        ("Reason", row.get_reason_display()),
        ("Note", row.note),
        ("Ticket", row.ticket),
    ]
    return [(label, words) for label, words in said if words]


@admin.register(ManualCreditCeiling)
class ManualCreditCeilingAdmin(HistoryAdmin):
    list_display = ["group", "per_act", "per_day"]
    list_select_related = ["group"]
    fields = ["group", "per_act", "per_day"]

    def get_readonly_fields(self, request: HttpRequest, obj: ManualCreditCeiling | None = None) -> Any:
        return ["group"] if obj else []
