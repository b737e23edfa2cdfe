"""The pages of staff actions: a form, then a confirmation that shows the effect.

An action above the ceiling of the actor can be sent as an approval request instead of being confirmed.
"""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views import View

from credits import queries
from credits.admin.owners import get_owner_or_404, parse_uuid, search_owners
from credits.domain.records import BalanceSnapshot
from credits.models import CreditBalance
from credits.operations import BalanceNotFoundError
from fluxori.adminkit.formatting import format_credits
from fluxori.console.actions import forms, operations
from fluxori.console.actions.base import Action, ActionRequest
from fluxori.console.actions.catalogue import ACTIONS
from fluxori.console.actions.subjects import get_subject
from fluxori.console.approvals.operations import ApprovalRequested, request_approval
from fluxori.console.queries import pending_requests_for
from fluxori.core import clock
from fluxori.core.errors import DomainError
from fluxori.identity.models import Organization, User

FORM_TEMPLATE = "admin/console/action_form.html"
CONFIRM_TEMPLATE = "admin/console/action_confirm.html"
FIND_OWNER_TEMPLATE = "admin/console/find_owner.html"
NO_BALANCE = "no balance yet"


class ConsolePage(View):
    """A page inside the admin, with the admin's menu and header."""

    title: str = ""
    model_admin: Any = None

    def page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        shared = {**admin.site.each_context(request), "title": self.title, "opts": self.model_admin.opts}
        return TemplateResponse(request, template, {**shared, **context})


class ActionPage(ConsolePage):
    """One staff action on one owner's balance: GET shows the form, POST previews it, and POST again confirms it."""

    def dispatch(self, request: Any, action: str, balance_id: UUID) -> Any:
        if action not in ACTIONS:
            raise Http404("There is no such staff action.")
        self.action: Action = ACTIONS[action]
        if not request.user.has_perm(self.action.permission):
            raise PermissionDenied
        self.owner = get_owner_or_404(balance_id)
        self.subject = self._get_subject(request)
        return super().dispatch(request)

    def get(self, request: HttpRequest) -> HttpResponse:
        initial = self.action.initial(self.subject)
        return self.form_page(request, self.action.form.prefilled(initial, request.GET))

    def post(self, request: Any) -> HttpResponse:
        form = self.action.form(request.POST)
        if not form.is_valid() or "change" in request.POST:
            return self.form_page(request, form)
        action_request = self.action_request(request, form)
        try:
            if "confirmed" in request.POST:
                return self.performed(request, operations.perform(action_request))
            if "requested" in request.POST:
                return self.approval_requested(request, request_approval(action_request))
            preview = operations.preview(replace(action_request, idempotency_key=""))
        except DomainError as error:
            form.add_domain_error(error)
            return self.form_page(request, form)
        return self.page(request, CONFIRM_TEMPLATE, form=form, preview=preview, **self.shared_context(request))

    def action_request(self, request: Any, form: forms.ActionForm) -> ActionRequest:
        cleaned = form.cleaned_data
        return ActionRequest(
            action=self.action,
            owner=self.owner,
            arguments=form.arguments,
            actor=request.user,
            at=clock.now(),
            reason=cleaned["reason"],
            note=cleaned["note"],
            ticket=cleaned["ticket"],
            idempotency_key=cleaned["idempotency_key"],
            subject_id=self.subject.pk if self.subject else None,
        )

    def form_page(self, request: HttpRequest, form: forms.ActionForm) -> HttpResponse:
        return self.page(request, FORM_TEMPLATE, form=form, **self.shared_context(request))

    def shared_context(self, request: HttpRequest) -> dict[str, Any]:
        return {
            "title": self.action.title,
            "action": self.action,
            "owner": self.owner,
            "balance": describe_balance(find_balance(self.owner)),
            "subject": self.action.describe(self.subject) if self.subject else "",
            "back_url": account_url(request, self.owner),
            "pending_requests": pending_requests_for(self.owner.pk),
        }

    def performed(self, request: HttpRequest, result: operations.ActionPerformed) -> HttpResponse:
        if result.replayed:
            messages.info(request, f"This form was already sent. {result.row.summary} It was not done a second time.")
        else:
            messages.success(request, result.row.summary)
        return HttpResponseRedirect(account_url(request, self.owner))

    def approval_requested(self, request: Any, result: ApprovalRequested) -> HttpResponse:
        messages.info(request, "Approval requested. Nothing changes until a second person approves.")
        if request.user.has_perm("console.view_approvalrequest"):
            return HttpResponseRedirect(reverse("admin:console_approvalrequest_change", args=[result.row.pk]))
        return HttpResponseRedirect(account_url(request, self.owner))

    def _get_subject(self, request: HttpRequest) -> Any:
        kind = self.action.subject_model
        if not kind:
            return None
        subject_id = parse_uuid(request.GET.get(kind, ""))
        if subject_id is None:
            raise Http404(f"This action needs the id of a {kind}.")
        try:
            return get_subject(self.action, owner_id=self.owner.pk, subject_id=subject_id)
        except DomainError as error:
            raise Http404(error.detail) from error


class FindOwnerPage(ConsolePage):
    """Find the user or organization to add credits to, with or without a balance."""

    title = "Add credits to…"

    def get(self, request: Any) -> HttpResponse:
        if not request.user.has_perm(ACTIONS["add"].permission):
            raise PermissionDenied
        form = forms.FindOwnerForm(request.GET if "q" in request.GET else None)
        owners = search_owners(form.cleaned_data["q"], limit=20) if form.is_valid() else []
        balances = CreditBalance.objects.in_bulk([owner.pk for owner in owners])
        queries.settle_balances(list(balances.values()), at=clock.now())
        rows = [{"owner": owner, "details": describe_owner(owner, balances.get(owner.pk))} for owner in owners]
        return self.page(request, FIND_OWNER_TEMPLATE, form=form, rows=rows, searched=form.is_valid())


def describe_owner(owner: User | Organization, balance: CreditBalance | None) -> str:
    """Return the kind and the balance of an owner, to distinguish owners with similar names."""
    kind = "User" if isinstance(owner, User) else "Organization"
    return f"{kind}, {f'balance {format_credits(balance.balance)}' if balance else NO_BALANCE}"


def account_url(request: Any, owner: User | Organization) -> str:
    """Return the page to show after an action: the account, if it exists and the user may see it."""
    if not request.user.has_perm("credits.view_creditbalance"):
        return reverse("admin:index")
    if find_balance(owner) is None:
        return reverse("admin:credits_creditbalance_changelist")
    return reverse("admin:credits_creditbalance_change", args=[owner.pk])


def find_balance(owner: User | Organization) -> BalanceSnapshot | None:
    """Return the current balance of an owner, or None if it was never opened."""
    try:
        return queries.get_balance(owner=owner)
    except BalanceNotFoundError:
        return None


def describe_balance(balance: BalanceSnapshot | None) -> str:
    if balance is None:
        return NO_BALANCE
    text = f"balance {format_credits(balance.balance)}, available {format_credits(balance.available)}"
    return f"{text}, debt {format_credits(balance.debt)}" if balance.debt else text
