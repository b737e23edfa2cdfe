"""What staff did, what waits for a second person, and how much each group may give."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.decorators import display

from credits.admin.owners import OwnedAdmin
from fluxori.adminkit.changelist import DateRangeFilter
from fluxori.adminkit.dated_rows import HistoryAdmin, ReasonedForm
from fluxori.adminkit.formatting import name_html
from fluxori.adminkit.read_only import format_credits, identifier, instant, lines, link, link_to, named
from fluxori.console import errors
from fluxori.console.actions import forms, operations
from fluxori.console.actions.catalogue import ACTS
from fluxori.console.actions.pages import ActPage, FindOwner, landing
from fluxori.console.models import ApprovalRequest, ManualCreditCeiling, StaffAction
from fluxori.core import clock
from fluxori.core.errors import DomainError

_COLOURS = {"pending": "warning", "approved": "success", "declined": "danger", "withdrawn": "default"}


class ActFilter(admin.SimpleListFilter):
    """One kind of act, by the name on its page."""

    title = "act"
    parameter_name = "act"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(act.code, act.title) for act in ACTS.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(act=self.value()) if self.value() else queryset


class ApprovedFilter(admin.SimpleListFilter):
    """Acts above a ceiling: few, and what an auditor asks for first."""

    title = "approved by a second person"
    parameter_name = "approved"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Yes"), ("0", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[StaffAction]) -> QuerySet[StaffAction]:
        chosen = {"1": False, "0": True}.get(self.value() or "")
        return queryset if chosen is None else queryset.filter(approver__isnull=chosen)


@admin.register(StaffAction)
class StaffActAdmin(OwnedAdmin):
    ordering = ("-created_at", "-pk")
    when_empty = "An act begins at an account: find the customer, and choose what to do."
    list_display = ["when", "owner", "what", "reason", "on_ticket", "by", "approved_by"]
    list_display_links = ["when"]
    on_ticket = named("ticket")
    by = named("actor")
    approved_by = named("approver")
    when = instant("created_at", "when")
    list_filter = [ActFilter, "reason", ApprovedFilter, ("created_at", DateRangeFilter)]
    list_select_related = ["balance__user", "balance__organization", "actor", "approver"]
    saved = [("Credits added", "act=add"), ("Refunds", "act=refund"), ("Approved by a second person", "approved=1")]
    owner_paths = ("balance_id", "actor_id")
    also_by = ["ticket", "request_id"]
    search_help_text = "Customer, staff, ticket or id"
    exported = {**OwnedAdmin.exported, "actor": lambda row: row.actor, "approver": lambda row: row.approver}
    fields = [
        "said",
        "owner",
        "when",
        ("actor", "approver"),
        ("reason", "ticket"),
        "note",
        "asked",
        "changed",
        "about",
        "moved_by",
        ("credits", "authority"),
        "on_request",
        "copied",
        ("request_id", "idempotency_key"),
    ]
    copied = identifier()

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        act = wrap(ActPage.as_view(model_admin=self))
        return [
            path("to/", wrap(FindOwner.as_view(model_admin=self)), name="console_whom"),
            path("do/<slug:act>/<uuid:balance_id>/", act, name="console_act"),
            *super().get_urls(),
        ]

    @admin.display(description="asked for")
    def asked(self, row: StaffAction) -> str:
        told = {
            name: value for name, value in row.arguments.items() if name != "subject" and value not in (None, "", [])
        }
        return lines((name, _spelled(value)) for name, value in told.items())

    @admin.display(description="changed")
    def changed(self, row: StaffAction) -> str:
        moved = ((name, row.before.get(name), after) for name, after in row.after.items())
        return lines((name, f"{_spelled(old)} → {_spelled(new)}") for name, old, new in moved if old != new)

    @admin.display(description="done")
    def what(self, row: StaffAction) -> str:
        return row.said

    @admin.display(description="about")
    def about(self, row: StaffAction) -> str:
        for label, key in (
            ("credits.credittransaction", row.of_transaction_id),
            ("credits.creditgrant", row.of_grant_id),
            ("credits.credithold", row.of_hold_id),
        ):
            if key is not None:
                return link(label, key, str(key))
        return link_to(None)

    @admin.display(description="transaction")
    def moved_by(self, row: StaffAction) -> str:
        return link_to(row.transaction)


@admin.register(ApprovalRequest)
class ActRequestAdmin(OwnedAdmin):
    ordering = ("-asked_at", "-pk")
    when_empty = "An act above somebody's ceiling will wait here for a second person."
    list_display = ["when", "owner", "what", "gives", "reason", "asks", "state", "decides"]
    list_display_links = ["when"]
    asks = named("asked_by")
    decides = named("decided_by")
    when = instant("asked_at", "asked")
    list_filter = ["status", ActFilter, "reason", ("asked_at", DateRangeFilter)]
    list_select_related = ["user", "organization", "asked_by", "decided_by"]
    saved = [("Waiting", "status__exact=pending"), ("Declined", "status__exact=declined")]
    owner_paths = ("user_id", "organization_id", "asked_by_id")
    also_by = ["ticket"]
    search_help_text = "Customer, staff, ticket or id"
    exported = {
        "owner": lambda row: row.whom,
        "asked_by": lambda row: row.asked_by,
        "decided_by": lambda row: row.decided_by,
    }

    @display(description="status", label=_COLOURS)  # type: ignore[untyped-decorator]
    def state(self, row: ApprovalRequest) -> tuple[str, str]:
        return row.status, row.get_status_display()

    @admin.display(description="owner")
    def owner(self, row: ApprovalRequest) -> str:
        return link("credits.creditbalance", row.owner_id, name_html(row.whom))

    @admin.display(description="credits")
    def gives(self, row: ApprovalRequest) -> str:
        return format_credits(row.credits)

    @admin.display(description="act")
    def what(self, row: ApprovalRequest) -> str:
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

    def decide(self, request: Any, row: ApprovalRequest) -> HttpResponse:
        form = forms.DecisionForm(request.POST)
        if not form.is_valid():
            return self.request_page(request, row, form)
        decision, note, at = form.cleaned_data["decision"], form.cleaned_data["note"], clock.now()
        try:
            if decision == "approve":
                done = operations.approve(request_id=row.pk, approver=request.user, note=note, at=at)
                messages.success(request, f"Approved. {done.row.said}")
                return HttpResponseRedirect(landing(request, row.whom))
            if decision == "withdraw":
                operations.withdraw(request_id=row.pk, actor=request.user, note=note, at=at)
                messages.info(request, "Withdrawn. Nothing happened.")
            else:
                operations.decline(request_id=row.pk, decider=request.user, note=note, at=at)
                messages.info(request, "Declined. Nothing happened.")
        except errors.StaffPermissionError as refusal:
            raise PermissionDenied(refusal.detail) from refusal
        except DomainError as refusal:
            form.refused(refusal)
            return self.request_page(request, self.get_object(request, str(row.pk)), form)
        return HttpResponseRedirect(reverse("admin:console_approvalrequest_changelist"))

    def request_page(self, request: Any, row: ApprovalRequest, form: forms.DecisionForm) -> HttpResponse:
        own = row.asked_by_id == request.user.pk
        pending = row.status == ApprovalRequest.Status.PENDING
        may_decide = pending and not own and request.user.has_perm(operations.APPROVE_REQUESTS)
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
            "may_approve": may_decide and request.user.has_perm(ACTS[row.act].permission),
            "preview": preview,
            "facts": [fact for fact in preview.facts if fact[0] not in dict(_asked_said(row))] if preview else [],
            "refusal": refusal,
            "done": StaffAction.objects.filter(on_request=row).first(),
            "back": reverse("admin:console_approvalrequest_changelist"),
            "account": link("credits.creditbalance", row.owner_id, str(row.whom)),
        }
        return TemplateResponse(request, "admin/console/request.html", context)


def _spelled(value: Any) -> str:
    """Return what an act kept as JSON, for people."""
    if value in (None, "", []):
        return "none"
    if isinstance(value, list):
        return "; ".join(map(_spelled, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_spelled(told)}" for name, told in value.items())
    return format_credits(value) if isinstance(value, int) else str(value)


def _asked_said(row: ApprovalRequest) -> list[tuple[str, Any]]:
    """Return who asked for what, and why, in words."""
    said = [
        ("Asked by", row.asked_by),
        ("Act", ACTS[row.act].title),
        ("Credits it gives", format_credits(row.credits)),
        ("Reason", row.get_reason_display()),
        ("Note", row.note),
        ("Ticket", row.ticket),
    ]
    return [(label, words) for label, words in said if words]


@admin.register(ManualCreditCeiling)
class ManualCreditCeilingAdmin(HistoryAdmin):
    form = ReasonedForm
    change_form_template = "admin/console/affected.html"
    list_display = ["group", "an_act", "a_day"]
    list_select_related = ["group"]
    fields = ["group", "per_act", "per_day", "change_reason"]

    def affected(self, request: HttpRequest, obj: ManualCreditCeiling | None) -> list[str]:
        if obj is None:
            return []
        people = obj.group.user_set.filter(is_active=True).count()
        return [
            "1 member of staff is in this group." if people == 1 else f"{people:,} members of staff are in this group.",
            "It counts from their next act on, and for what they approve from then on.",
        ]

    @admin.display(description="credits in one act")
    def an_act(self, row: ManualCreditCeiling) -> str:
        return format_credits(row.per_act)

    @admin.display(description="credits in one day")
    def a_day(self, row: ManualCreditCeiling) -> str:
        return format_credits(row.per_day)

    def get_readonly_fields(self, request: HttpRequest, obj: ManualCreditCeiling | None = None) -> Any:
        return ["group"] if obj else []
