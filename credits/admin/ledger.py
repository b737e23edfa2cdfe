"""The ledger's own tables, read-only."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import TabularInline

from credits.admin.balance_page import balance_page
from credits.admin.owners import OwnedAdmin, name_of
from credits.admin.read_only import link_to, listing
from credits.models import (
    CreditBalance,
    CreditEntry,
    CreditGrant,
    CreditHold,
    CreditPin,
    CreditRequest,
    CreditTransaction,
)
from fluxori.kernel import clock


class ReadOnlyInline(TabularInline):  # type: ignore[misc]
    """Rows that belong to the one shown, without a form."""

    extra = 0
    verbose_name_plural: Any = None
    max_num = 0
    can_delete = False
    show_change_link = False
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(CreditBalance)
class CreditBalanceAdmin(OwnedAdmin):
    owner_path = "pk"
    list_display = ["owner", "kind", "balance", "held", "debt", "last_at", "suspended_at"]
    list_select_related = ["user", "organization"]
    fields = ["id", "sequence", "version", "last_at", "created_at", "suspended_at", "head"]
    change_list_template = "admin/credits/creditbalance/change_list.html"
    change_form_template = "admin/credits/creditbalance/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditBalance]:
        return CreditBalance.objects.select_related("user", "organization").order_by(*self.ordering)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may = {"may_add_credits": request.user.has_perm("console.add_credits")}
        shown: HttpResponse = super().changelist_view(request, {**may, **(extra_context or {})})
        return shown

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        balance = self.get_object(request, object_id)
        facts = balance_page(request, balance, at=clock.now()) if balance else {}
        shown: HttpResponse = super().change_view(request, object_id, form_url, {**facts, **(extra_context or {})})
        return shown

    @admin.display(description="owner")
    def owner(self, row: Any) -> str:
        return name_of(row)

    @admin.display(description="kind")
    def kind(self, row: CreditBalance) -> str:
        return row.owner.kind

    @admin.display(description="hash of the last transaction")
    def head(self, row: CreditBalance) -> str:
        return bytes(row.head_hash).hex()


@admin.register(CreditGrant)
class CreditGrantAdmin(OwnedAdmin):
    list_display = ["id", "owner", "source", "amount", "remaining", "held", "effective_at", "expires_at", "voided_at"]
    list_filter = ["source", "live"]
    fields = [
        "id",
        "owner",
        "source",
        ("amount", "remaining", "held"),
        ("effective_at", "expires_at", "voided_at"),
        ("priority", "unit_price"),
        ("roll_cap", "roll_until"),
        "given_by",
        "parent",
        "feature",
        "history",
    ]

    @admin.display(description="given by")
    def given_by(self, row: CreditGrant) -> str:
        return link_to(row.transaction)

    @admin.display(description="what became of it")
    def history(self, row: CreditGrant) -> str:
        return listing("credits_creditentry", "Its entries", grant=row.pk)


class EntriesInline(ReadOnlyInline):
    model = CreditEntry
    verbose_name_plural = "entries, in burn order"
    fields = ["position", "amount", "fell_on", "remaining_after"]
    readonly_fields = fields

    @admin.display(description="grant")
    def fell_on(self, row: CreditEntry) -> str:
        return link_to(row.grant) if row.grant_id else "debt"

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditEntry]:
        return CreditEntry.objects.select_related("grant").order_by("position")


@admin.register(CreditTransaction)
class CreditTransactionAdmin(OwnedAdmin):
    list_display = [
        "sequence",
        "owner",
        "type",
        "amount",
        "balance_after",
        "timestamp",
        "description",
        "reference_id",
        "actor",
    ]
    list_display_links = ["sequence", "type"]
    list_filter = ["type"]
    list_select_related = ["balance__user", "balance__organization", "actor"]
    also_by = ["reference_id"]
    search_help_text = "E-mail, organization, id or reference"
    inlines = [EntriesInline]
    fields = [
        "id",
        "owner",
        ("type", "sequence"),
        ("amount", "balance_after"),
        ("timestamp", "recorded_at"),
        "description",
        "reason",
        "reference_id",
        ("feature", "price", "quantity"),
        ("actor", "member"),
        ("hold", "reverses"),
        ("idempotency_key", "request_id"),
        "metadata",
        "chain",
    ]

    @admin.display(description="hash")
    def chain(self, row: CreditTransaction) -> str:
        return bytes(row.hash).hex()


@admin.register(CreditEntry)
class CreditEntryAdmin(OwnedAdmin):
    list_display = ["id", "owner", "transaction", "position", "amount", "fell_on", "remaining_after"]
    list_select_related = ["balance__user", "balance__organization", "transaction", "grant"]
    fields = ["id", "owner", "transaction", "position", "amount", "fell_on", "remaining_after"]

    @admin.display(description="grant")
    def fell_on(self, row: CreditEntry) -> str:
        return link_to(row.grant) if row.grant_id else "debt"


class PinsInline(ReadOnlyInline):
    model = CreditPin
    verbose_name_plural = "pins, in burn order"
    fields = ["position", "amount", "pinned_on"]
    readonly_fields = fields

    @admin.display(description="grant")
    def pinned_on(self, row: CreditPin) -> str:
        return link_to(row.grant)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditPin]:
        return CreditPin.objects.select_related("grant").order_by("position")


@admin.register(CreditHold)
class CreditHoldAdmin(OwnedAdmin):
    list_display = ["id", "owner", "status", "amount", "captured", "created_at", "expires_at", "closed_at"]
    list_filter = ["status"]
    also_by = ["reference_id"]
    search_help_text = "E-mail, organization, id or reference"
    inlines = [PinsInline]
    fields = [
        "id",
        "owner",
        ("status", "amount", "captured"),
        ("created_at", "expires_at", "closed_at"),
        "description",
        "reference_id",
        ("feature", "price", "quantity"),
        ("actor", "member"),
        "request_id",
        "metadata",
    ]


@admin.register(CreditPin)
class CreditPinAdmin(OwnedAdmin):
    list_display = ["id", "owner", "hold", "grant", "position", "amount"]
    list_select_related = ["balance__user", "balance__organization", "hold", "grant"]
    fields = ["id", "owner", "hold", "grant", "position", "amount"]


@admin.register(CreditRequest)
class CreditRequestAdmin(OwnedAdmin):
    list_display = ["key", "owner", "operation", "caller", "transaction", "created_at"]
    list_select_related = ["balance__user", "balance__organization", "caller", "transaction"]
    also_by = ["key"]
    search_help_text = "E-mail, organization, id or key"
    fields = ["id", "owner", "key", "operation", "caller", ("transaction", "hold"), "answer", "print", "created_at"]

    @admin.display(description="fingerprint")
    def print(self, row: CreditRequest) -> str:
        return bytes(row.fingerprint).hex()
