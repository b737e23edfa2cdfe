"""The admin page of staff actions, which also serves the pages on which staff perform them."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path

from credits.admin.owners import OwnedAdmin
from fluxori.adminkit.changelist import DateRangeFilter
from fluxori.adminkit.columns import id_column, name_column, timestamp_column
from fluxori.adminkit.formatting import change_link_html, facts_html, format_credits, object_link_html
from fluxori.console.actions.catalogue import ACTIONS
from fluxori.console.actions.pages import ActionPage, FindOwnerPage
from fluxori.console.models import StaffAction


class ActionFilter(admin.SimpleListFilter):
    """Filters by staff action."""

    title = "staff action"
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(action.code, action.title) for action in ACTIONS.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(action=self.value()) if self.value() else queryset


class ApprovedFilter(admin.SimpleListFilter):
    """Filters by whether a second person approved the action."""

    title = "approved by a second person"
    parameter_name = "approved"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Yes"), ("0", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[StaffAction]) -> QuerySet[StaffAction]:
        without_approver = {"1": False, "0": True}.get(self.value() or "")
        return queryset if without_approver is None else queryset.filter(approver__isnull=without_approver)


@admin.register(StaffAction)
class StaffActionAdmin(OwnedAdmin):
    ordering = ("-created_at", "-pk")
    empty_message = "No staff action was performed yet. Open the page of an account to perform one."
    list_display = ["when", "owner", "summary", "reason", "ticket_number", "actor_name", "approver_name"]
    list_display_links = ["when"]
    ticket_number = name_column("ticket")
    actor_name = name_column("actor")
    approver_name = name_column("approver")
    when = timestamp_column("created_at", "when")
    list_filter = [ActionFilter, "reason", ApprovedFilter, ("created_at", DateRangeFilter)]
    list_select_related = ["balance__user", "balance__organization", "actor", "approver"]
    saved_links = [
        ("Credits added", "action=add"),
        ("Refunds", "action=refund"),
        ("Approved by a second person", "approved=1"),
    ]
    owner_fields = ("balance_id", "actor_id")
    exact_search_fields = ["ticket", "request_id"]
    search_help_text = "Customer, staff, ticket or id"
    export_columns = {
        **OwnedAdmin.export_columns,
        "actor": lambda row: row.actor,
        "approver": lambda row: row.approver,
    }
    fields = [
        "summary",
        "owner",
        "when",
        ("actor", "approver"),
        ("reason", "ticket"),
        "note",
        "arguments_list",
        "changes_list",
        "subject",
        "transaction_link",
        ("credits", "authority"),
        "approval_request",
        "copyable_id",
        ("request_id", "idempotency_key"),
    ]
    copyable_id = id_column()

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        find_owner, action = wrap(FindOwnerPage.as_view(model_admin=self)), wrap(ActionPage.as_view(model_admin=self))
        return [
            path("find-owner/", find_owner, name="console_find_owner"),
            path("do/<slug:action>/<uuid:balance_id>/", action, name="console_action"),
            *super().get_urls(),
        ]

    @admin.display(description="arguments")
    def arguments_list(self, row: StaffAction) -> str:
        arguments = {
            name: value for name, value in row.arguments.items() if name != "subject" and value not in (None, "", [])
        }
        return facts_html((name, format_json(value)) for name, value in arguments.items())

    @admin.display(description="changes")
    def changes_list(self, row: StaffAction) -> str:
        values = ((name, row.before.get(name), after) for name, after in row.after.items())
        return facts_html((name, f"{format_json(old)} → {format_json(new)}") for name, old, new in values if old != new)

    @admin.display(description="subject")
    def subject(self, row: StaffAction) -> str:
        for label, key in (
            ("credits.credittransaction", row.subject_transaction_id),
            ("credits.creditgrant", row.subject_grant_id),
            ("credits.credithold", row.subject_hold_id),
        ):
            if key is not None:
                return change_link_html(label, key, str(key))
        return object_link_html(None)

    @admin.display(description="transaction")
    def transaction_link(self, row: StaffAction) -> str:
        return object_link_html(row.transaction)


def format_json(value: Any) -> str:
    """Return a JSON value of a staff action as text."""
    if value in (None, "", []):
        return "none"
    if isinstance(value, list):
        return "; ".join(map(format_json, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {format_json(item)}" for name, item in value.items())
    return format_credits(value) if isinstance(value, int) else str(value)
