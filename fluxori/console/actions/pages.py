"""The pages of acts: a form, a page that says what will happen, and a button that names the act."""

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
from credits.admin.owners import people_like, uuid_of, whom_or_404
from credits.domain.records import BalanceSnapshot
from credits.models import CreditBalance
from credits.operations import BalanceNotFoundError
from fluxori.adminkit.read_only import format_credits
from fluxori.console import queries as console
from fluxori.console.actions import forms, operations
from fluxori.console.actions.catalogue import ACTS, Act, Order, subject_of
from fluxori.core import clock
from fluxori.core.errors import DomainError
from fluxori.identity.models import Organization, User

FORM_PAGE = "admin/console/act_form.html"
CONFIRM_PAGE = "admin/console/act_confirm.html"
FIND_PAGE = "admin/console/whom.html"
NONE_YET = "no balance yet"


class ConsolePage(View):
    """A page inside the admin."""

    title: str = ""
    model_admin: Any = None

    def page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        shared = {**admin.site.each_context(request), "title": self.title, "opts": self.model_admin.opts}
        return TemplateResponse(request, template, {**shared, **context})


class ActPage(ConsolePage):
    """One act on one owner's credits, in two steps: asked, then confirmed."""

    def dispatch(self, request: Any, act: str, balance_id: UUID) -> Any:
        found = ACTS.get(act)
        if found is None:
            raise Http404("There is no such act.")
        if not request.user.has_perm(found.permission):
            raise PermissionDenied
        self.act: Act = found
        self.whom = whom_or_404(balance_id)
        self.subject = self._subject(request)
        return super().dispatch(request)

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.form_page(request, self.act.form.begun(self.act.initial(self.subject), request.GET))

    def post(self, request: Any) -> HttpResponse:
        form = self.act.form(request.POST)
        if not form.is_valid() or "change" in request.POST:
            return self.form_page(request, form)
        order = self.order(request, form)
        try:
            if "confirmed" in request.POST:
                return self.finish(request, operations.perform(order))
            if "requested" in request.POST:
                return self.wait(request, operations.request_act(order))
            preview = operations.preview(replace(order, key=""))
        except DomainError as refusal:
            form.refused(refusal)
            return self.form_page(request, form)
        return self.page(request, CONFIRM_PAGE, form=form, preview=preview, **self.shared(request))

    def order(self, request: Any, form: forms.ActForm) -> Order:
        why = form.cleaned_data
        return Order(
            act=self.act,
            whom=self.whom,
            asked=form.asked,
            actor=request.user,
            at=clock.now(),
            reason=why["reason"],
            note=why["note"],
            ticket=why["ticket"],
            key=why["idempotency_key"],
            subject=self.subject.pk if self.subject else None,
        )

    def form_page(self, request: HttpRequest, form: forms.ActForm) -> HttpResponse:
        return self.page(request, FORM_PAGE, form=form, **self.shared(request))

    def shared(self, request: HttpRequest) -> dict[str, Any]:
        return {
            "title": self.act.title,
            "act": self.act,
            "whom": self.whom,
            "standing": standing_said(standing_of(self.whom)),
            "subject": self.act.describe(self.subject) if self.subject else "",
            "back": landing(request, self.whom),
            "waiting": console.pending_of(self.whom.pk),
        }

    def finish(self, request: HttpRequest, done: operations.Done) -> HttpResponse:
        if done.again:
            messages.info(request, f"This form had been sent before. {done.row.said} Nothing happened again now.")
        else:
            messages.success(request, done.row.said)
        return HttpResponseRedirect(landing(request, self.whom))

    def wait(self, request: Any, asked: operations.Asked) -> HttpResponse:
        messages.info(request, "Asked for approval. A second person decides; nothing has happened yet.")
        if request.user.has_perm("console.view_approvalrequest"):
            return HttpResponseRedirect(reverse("admin:console_approvalrequest_change", args=[asked.row.pk]))
        return HttpResponseRedirect(landing(request, self.whom))

    def _subject(self, request: HttpRequest) -> Any:
        if not self.act.about:
            return None
        key = uuid_of(request.GET.get(self.act.about, ""))
        if key is None:
            raise Http404(f"This act is about a {self.act.about}.")
        try:
            return subject_of(self.act, self.whom.pk, key)
        except DomainError as missing:
            raise Http404(missing.detail) from missing


class FindOwner(ConsolePage):
    """Find the user or organization to add credits to, with or without a balance."""

    title = "Add credits to…"

    def get(self, request: Any) -> HttpResponse:
        if not request.user.has_perm(ACTS["add"].permission):
            raise PermissionDenied
        form = forms.FindOwnerForm(request.GET if "q" in request.GET else None)
        found = people_like(form.cleaned_data["q"], limit=20) if form.is_valid() else []
        balances = CreditBalance.objects.in_bulk([whom.pk for whom in found])
        rows = [{"whom": whom, "about": about(whom, balances.get(whom.pk))} for whom in found]
        return self.page(request, FIND_PAGE, form=form, rows=rows, asked=form.is_valid())


def about(whom: User | Organization, balance: CreditBalance | None) -> str:
    """Return what tells a found owner from others of a like name."""
    kind = "User" if isinstance(whom, User) else "Organization"
    return f"{kind}, {f'balance {format_credits(balance.balance)}' if balance else NONE_YET}"


def landing(request: Any, whom: User | Organization) -> str:
    """Return where an act about somebody ends: at their account, where it exists and may be seen."""
    if not request.user.has_perm("credits.view_creditbalance"):
        return reverse("admin:index")
    if standing_of(whom) is None:
        return reverse("admin:credits_creditbalance_changelist")
    return reverse("admin:credits_creditbalance_change", args=[whom.pk])


def standing_of(whom: User | Organization) -> BalanceSnapshot | None:
    """Return the owner's balance as it stands, or None where nobody opened one."""
    try:
        return queries.get_balance(owner=whom)
    except BalanceNotFoundError:
        return None


def standing_said(now: BalanceSnapshot | None) -> str:
    if now is None:
        return NONE_YET
    said = f"balance {format_credits(now.balance)}, available {format_credits(now.available)}"
    return f"{said}, debt {format_credits(now.debt)}" if now.debt else said
