"""Acts of staff: a form, a page that says what will happen, and a button that names the act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views import View

from credits import operations, queries
from credits.admin.forms import ActForm, AddCreditsForm, FindOwnerForm
from credits.admin.owners import people_like, whom_or_404
from credits.admin.read_only import credits_said, instant_said
from credits.book import Snapshot
from credits.models import CreditBalance
from fluxori.identity.models import Organization, User
from fluxori.kernel import clock
from fluxori.kernel.errors import DomainError

FORM_PAGE = "admin/credits/creditbalance/act_form.html"
CONFIRM_PAGE = "admin/credits/creditbalance/act_confirm.html"
FIND_PAGE = "admin/credits/creditbalance/find_owner.html"
NONE_YET = "no balance yet"


@dataclass(frozen=True)
class Plan:
    """What an act is going to do: the words on its button, and the facts to read before pressing it.

    Without a button there is nothing to do, and the warning says why.
    """

    button: str
    facts: Sequence[tuple[str, str]]
    warning: str = ""


@dataclass(frozen=True)
class Done:
    """What an act did, in a sentence; ``again`` where it had been done before and nothing happened now."""

    said: str
    again: bool = False


class AdminView(View):
    """A page inside the admin, for those with ``permission``."""

    permission: ClassVar[str]
    title: ClassVar[str]
    model_admin: ModelAdmin[Any] = None  # type: ignore[assignment]

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if not request.user.has_perm(self.permission):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        site = self.model_admin.admin_site
        shared = {**site.each_context(request), "title": self.title, "opts": self.model_admin.opts}
        return TemplateResponse(request, template, {**shared, **context})


class Act(AdminView):
    """One act on one owner's credits, in two steps: asked, then confirmed.

    A subclass says what will happen (:meth:`plan`) and does it through an operation (:meth:`act`).
    """

    form_class: ClassVar[type[ActForm]]

    def plan(self, whom: User | Organization, asked: dict[str, Any], at: datetime) -> Plan:
        raise NotImplementedError

    def act(self, whom: User | Organization, asked: dict[str, Any], actor: User, at: datetime) -> Done:
        raise NotImplementedError

    def get(self, request: HttpRequest, key: UUID) -> HttpResponse:
        return self.form_page(request, whom_or_404(key), self.form_class())

    def post(self, request: Any, key: UUID) -> HttpResponse:
        whom, at = whom_or_404(key), clock.now()
        form = self.form_class(request.POST)
        if not form.is_valid() or "change" in request.POST:
            return self.form_page(request, whom, form)
        try:
            if "confirmed" in request.POST:
                done = self.act(whom, form.cleaned_data, request.user, at)
                return self.finish(request, whom, done)
            plan = self.plan(whom, form.cleaned_data, at)
        except DomainError as refusal:
            form.refused(refusal)
            return self.form_page(request, whom, form)
        return self.page(request, CONFIRM_PAGE, form=form, whom=whom, plan=plan, back=self.back(whom))

    def form_page(self, request: HttpRequest, whom: User | Organization, form: ActForm) -> HttpResponse:
        now = standing_of(whom)
        standing = f"balance {credits_said(now.balance)}, available {credits_said(now.available)}" if now else NONE_YET
        return self.page(request, FORM_PAGE, form=form, whom=whom, standing=standing, back=self.back(whom))

    def finish(self, request: Any, whom: User | Organization, done: Done) -> HttpResponse:
        """Say what was done, note it under the staff member's name, and go to the balance."""
        if done.again:
            messages.info(request, done.said)
        else:
            balance = CreditBalance.objects.get(pk=whom.pk)
            self.model_admin.log_change(request, balance, done.said)
            messages.success(request, done.said)
        return HttpResponseRedirect(balance_url(whom))

    def back(self, whom: User | Organization) -> str:
        return balance_url(whom) if standing_of(whom) else reverse("admin:credits_creditbalance_changelist")


def balance_url(whom: User | Organization) -> str:
    return reverse("admin:credits_creditbalance_change", args=[whom.pk])


def standing_of(whom: User | Organization) -> Snapshot | None:
    """Return the owner's balance as it stands, or None where nobody opened one."""
    try:
        return queries.get_balance(owner=whom)
    except operations.BalanceNotFoundError:
        return None


def change_said(before: int, after: int) -> str:
    return f"{credits_said(before)} → {credits_said(after)}"


class AddCredits(Act):
    """Add credits to anyone's balance; where there is none, one is opened without a tier."""

    title = "Add credits"
    permission = "credits.add_creditgrant"
    form_class = AddCreditsForm

    def plan(self, whom: User | Organization, asked: dict[str, Any], at: datetime) -> Plan:
        amount, standing = asked["amount"], standing_of(whom)
        before = standing.balance if standing else 0
        facts = [
            ("To", str(whom)),
            ("Balance", change_said(before, before + amount)),
            ("Type", asked["type"].capitalize()),
            ("Expires", instant_said(asked["expires_at"]) if asked["expires_at"] else "Never"),
            ("The customer reads", asked["description"] or "No description"),
            ("Reason", asked["reason"]),
        ]
        if asked["unit_price"] is not None:
            facts.insert(4, ("Unit price", f"R{asked['unit_price']} a credit"))
        if standing and standing.debt:
            facts.insert(2, ("Repays debt", credits_said(min(standing.debt, amount))))
        warning = "" if standing else "There is no balance yet. One is opened, without a tier."
        return Plan(f"Add {credits_said(amount)} credits to {whom}", facts, warning)

    def act(self, whom: User | Organization, asked: dict[str, Any], actor: User, at: datetime) -> Done:
        recorded = operations.add_credits(owner=whom, actor=actor, at=at, **asked)
        amount = f"{credits_said(recorded.amount)} credits"
        if recorded.replayed:
            return Done(f"This form had been sent before: {amount} were added then, and nothing again now.", again=True)
        moved = change_said(recorded.balance_after - recorded.amount, recorded.balance_after)
        return Done(f"Added {amount} to {whom}. Balance {moved}.")


def about(whom: User | Organization, balance: CreditBalance | None) -> str:
    """Return what tells a found owner from others of a like name."""
    kind = "User" if isinstance(whom, User) else "Organization"
    return f"{kind}, {f'balance {credits_said(balance.balance)}' if balance else NONE_YET}"


class FindOwner(AdminView):
    """Find the user or organization whose credits an act is about, with or without a balance."""

    title = "Add credits to…"
    permission = AddCredits.permission

    def get(self, request: HttpRequest) -> HttpResponse:
        form = FindOwnerForm(request.GET if "q" in request.GET else None)
        found = people_like(form.cleaned_data["q"], limit=20) if form.is_valid() else []
        balances = CreditBalance.objects.in_bulk([whom.pk for whom in found])
        rows = [{"whom": whom, "about": about(whom, balances.get(whom.pk))} for whom in found]
        return self.page(request, FIND_PAGE, form=form, rows=rows, asked=form.is_valid())
