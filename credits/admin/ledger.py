"""The ledger's own tables, read-only."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import TabularInline

from credits.admin.owners import OwnedAdmin, name_of
from credits.models import (
    CreditBalance,
    CreditEntry,
    CreditGrant,
    CreditHold,
    CreditPin,
    CreditRequest,
    CreditTransaction,
)
from fluxori.adminkit.changelist import DateRangeFilter
from fluxori.adminkit.columns import credits_column, id_column, name_column, timestamp_column
from fluxori.adminkit.formatting import changelist_link_html, name_html, object_link_html


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


class StateFilter(admin.SimpleListFilter):
    """Balances that want a look. Each choice has an index of its own, since such rows are few among many."""

    title = "state"
    parameter_name = "state"
    choice_of = {
        "suspended": Q(suspended_at__isnull=False),
        "debt": Q(debt__gt=0),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("suspended", "Spending suspended"), ("debt", "In debt")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CreditBalance]) -> QuerySet[CreditBalance]:
        chosen = self.choice_of.get(self.value() or "")
        return queryset if chosen is None else queryset.filter(chosen)


@admin.register(CreditBalance)
class CreditBalanceAdmin(OwnedAdmin):
    owner_fields = ("pk",)
    export_columns = {"owner": name_of}
    list_display = ["owner", "kind", "whole", "set_aside", "owed", "changed", "suspended"]
    whole = credits_column("balance")
    set_aside = credits_column("held")
    owed = credits_column("debt")
    empty_message = "A balance opens with the first credits that somebody is given."
    list_filter = [StateFilter]
    saved_links = [("Suspended", "state=suspended"), ("In debt", "state=debt")]
    list_select_related = ["user", "organization"]
    fields = ["copied", "sequence", "version", "changed", "created", "suspended", "head"]
    copied = id_column()
    changed = timestamp_column("last_at", "last change")
    created = timestamp_column("created_at")
    suspended = timestamp_column("suspended_at", "suspended since")
    change_list_template = "admin/credits/creditbalance/change_list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditBalance]:
        return CreditBalance.objects.select_related("user", "organization").order_by(*self.ordering)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may = {"may_add_credits": request.user.has_perm("console.add_credits")}
        shown: HttpResponse = super().changelist_view(request, {**may, **(extra_context or {})})
        return shown

    @admin.display(description="owner")
    def owner(self, row: Any) -> str:
        return name_html(name_of(row))

    @admin.display(description="kind")
    def kind(self, row: CreditBalance) -> str:
        return row.owner.kind

    @admin.display(description="hash of the last transaction")
    def head(self, row: CreditBalance) -> str:
        return bytes(row.head_hash).hex()


@admin.register(CreditGrant)
class CreditGrantAdmin(OwnedAdmin):
    ordering = ("-effective_at", "-pk")
    list_display = ["source", "owner", "given", "left", "set_aside", "effective", "expires", "voided"]
    given = credits_column("amount")
    left = credits_column("remaining")
    set_aside = credits_column("held")
    empty_message = "What is allocated, bought or given will stand here, with what is left of it."
    list_filter = ["source", "live", ("effective_at", DateRangeFilter)]
    saved_links = [
        ("Purchases", "source__exact=purchase"),
        ("Adjustments", "source__exact=adjustment"),
        ("Still holding credits", "live__exact=1"),
    ]
    effective = timestamp_column("effective_at", "effective")
    expires = timestamp_column("expires_at", "expires")
    voided = timestamp_column("voided_at", "voided")
    copied = id_column()
    fields = [
        "copied",
        "owner",
        "source",
        ("amount", "remaining", "held"),
        "effective",
        ("expires", "voided"),
        ("priority", "unit_price"),
        ("roll_cap", "roll_until"),
        "grants_from",
        "parent",
        "feature",
        "history",
    ]

    @admin.display(description="given by")
    def grants_from(self, row: CreditGrant) -> str:
        return object_link_html(row.transaction)

    @admin.display(description="what became of it")
    def history(self, row: CreditGrant) -> str:
        return changelist_link_html("credits_creditentry", "Its entries", grant=row.pk)


class EntriesInline(ReadOnlyInline):
    model = CreditEntry
    verbose_name_plural = "entries, in burn order"
    fields = ["position", "amount", "fell_on", "remaining_after"]
    readonly_fields = fields

    @admin.display(description="grant")
    def fell_on(self, row: CreditEntry) -> str:
        return object_link_html(row.grant) if row.grant_id else "debt"

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditEntry]:
        return CreditEntry.objects.select_related("grant").order_by("position")


@admin.register(CreditTransaction)
class CreditTransactionAdmin(OwnedAdmin):
    ordering = ("-timestamp", "-pk")
    list_display = [
        "when",
        "owner",
        "type",
        "moved",
        "afterwards",
        "description",
        "reference",
        "by",
    ]
    reference = name_column("reference_id", "reference")
    by = name_column("actor")
    moved = credits_column("amount")
    afterwards = credits_column("balance_after")
    empty_message = "The first allocation, purchase or usage will stand here."
    list_display_links = ["when", "type"]
    list_filter = ["type", ("timestamp", DateRangeFilter)]
    saved_links = [
        ("Refunds", "type__exact=refund"),
        ("Purchases", "type__exact=purchase"),
        ("Adjustments", "type__exact=adjustment"),
        ("Reversals", "type__exact=reversal"),
        ("Voids", "type__exact=void"),
    ]
    when = timestamp_column("timestamp", "when")
    recorded = timestamp_column("recorded_at", "written down")
    copied = id_column()
    list_select_related = ["balance__user", "balance__organization", "actor"]
    exact_search_fields = ["reference_id"]
    search_help_text = "E-mail, organization, id or reference"
    inlines = [EntriesInline]
    fields = [
        "copied",
        "owner",
        ("type", "sequence"),
        ("amount", "balance_after"),
        ("when", "recorded"),
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
    empty_message = "What a transaction gave to each grant, or took from it, will stand here."
    list_display = ["id", "owner", "transaction", "position", "moved", "fell_on", "left"]
    moved = credits_column("amount")
    left = credits_column("remaining_after")
    list_select_related = ["balance__user", "balance__organization", "transaction", "grant"]
    fields = ["id", "owner", "transaction", "position", "amount", "fell_on", "remaining_after"]

    @admin.display(description="grant")
    def fell_on(self, row: CreditEntry) -> str:
        return object_link_html(row.grant) if row.grant_id else "debt"


class PinsInline(ReadOnlyInline):
    model = CreditPin
    verbose_name_plural = "pins, in burn order"
    fields = ["position", "amount", "pinned_on"]
    readonly_fields = fields

    @admin.display(description="grant")
    def pinned_on(self, row: CreditPin) -> str:
        return object_link_html(row.grant)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditPin]:
        return CreditPin.objects.select_related("grant").order_by("position")


@admin.register(CreditHold)
class CreditHoldAdmin(OwnedAdmin):
    ordering = ("-created_at", "-pk")
    list_display = ["created", "owner", "status", "set_aside", "spent", "expires", "closed"]
    set_aside = credits_column("amount")
    spent = credits_column("captured")
    empty_message = "Work that sets credits aside before it begins will stand here."
    list_filter = ["status", ("created_at", DateRangeFilter)]
    saved_links = [("Open", "status__exact=open"), ("Lapsed", "status__exact=lapsed")]
    created = timestamp_column("created_at", "placed")
    expires = timestamp_column("expires_at", "expires")
    closed = timestamp_column("closed_at", "closed")
    copied = id_column()
    exact_search_fields = ["reference_id"]
    search_help_text = "E-mail, organization, id or reference"
    inlines = [PinsInline]
    fields = [
        "copied",
        "owner",
        ("status", "amount", "captured"),
        "created",
        ("expires", "closed"),
        "description",
        "reference_id",
        ("feature", "price", "quantity"),
        ("actor", "member"),
        "request_id",
        "metadata",
    ]


@admin.register(CreditPin)
class CreditPinAdmin(OwnedAdmin):
    empty_message = "The grants on which a hold is pinned will stand here."
    list_display = ["id", "owner", "hold", "grant", "position", "set_aside"]
    set_aside = credits_column("amount")
    list_select_related = ["balance__user", "balance__organization", "hold", "grant"]
    fields = ["id", "owner", "hold", "grant", "position", "amount"]


@admin.register(CreditRequest)
class CreditRequestAdmin(OwnedAdmin):
    empty_message = "Requests that came with a key will stand here, so that none takes effect twice."
    list_display = ["key", "owner", "verb", "by", "transaction", "created"]
    verb = name_column("operation")
    by = name_column("caller")
    created = timestamp_column("created_at", "when")
    list_select_related = ["balance__user", "balance__organization", "caller", "transaction"]
    exact_search_fields = ["key"]
    search_help_text = "E-mail, organization, id or key"
    fields = ["id", "owner", "key", "operation", "caller", ("transaction", "hold"), "answer", "print", "created"]

    @admin.display(description="fingerprint")
    def print(self, row: CreditRequest) -> str:
        return bytes(row.fingerprint).hex()
