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
from fluxori.adminkit.formatting import name_html
from fluxori.adminkit.read_only import counted, identifier, instant, link_to, listing, named


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
    owner_paths = ("pk",)
    exported = {"owner": name_of}
    list_display = ["owner", "kind", "whole", "set_aside", "owed", "changed", "suspended"]
    whole = counted("balance")
    set_aside = counted("held")
    owed = counted("debt")
    when_empty = "A balance opens with the first credits that somebody is given."
    list_filter = [StateFilter]
    saved = [("Suspended", "state=suspended"), ("In debt", "state=debt")]
    list_select_related = ["user", "organization"]
    fields = ["copied", "sequence", "version", "changed", "created", "suspended", "head"]
    copied = identifier()
    changed = instant("last_at", "last change")
    created = instant("created_at")
    suspended = instant("suspended_at", "suspended since")
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
    given = counted("amount")
    left = counted("remaining")
    set_aside = counted("held")
    when_empty = "What is allocated, bought or given will stand here, with what is left of it."
    list_filter = ["source", "live", ("effective_at", DateRangeFilter)]
    saved = [
        ("Purchases", "source__exact=purchase"),
        ("Adjustments", "source__exact=adjustment"),
        ("Still holding credits", "live__exact=1"),
    ]
    effective = instant("effective_at", "effective")
    expires = instant("expires_at", "expires")
    voided = instant("voided_at", "voided")
    copied = identifier()
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
    reference = named("reference_id", "reference")
    by = named("actor")
    moved = counted("amount")
    afterwards = counted("balance_after")
    when_empty = "The first allocation, purchase or usage will stand here."
    list_display_links = ["when", "type"]
    list_filter = ["type", ("timestamp", DateRangeFilter)]
    saved = [
        ("Refunds", "type__exact=refund"),
        ("Purchases", "type__exact=purchase"),
        ("Adjustments", "type__exact=adjustment"),
        ("Reversals", "type__exact=reversal"),
        ("Voids", "type__exact=void"),
    ]
    when = instant("timestamp", "when")
    recorded = instant("recorded_at", "written down")
    copied = identifier()
    list_select_related = ["balance__user", "balance__organization", "actor"]
    also_by = ["reference_id"]
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
    when_empty = "What a transaction gave to each grant, or took from it, will stand here."
    list_display = ["id", "owner", "transaction", "position", "moved", "fell_on", "left"]
    moved = counted("amount")
    left = counted("remaining_after")
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
    ordering = ("-created_at", "-pk")
    list_display = ["created", "owner", "status", "set_aside", "spent", "expires", "closed"]
    set_aside = counted("amount")
    spent = counted("captured")
    when_empty = "Work that sets credits aside before it begins will stand here."
    list_filter = ["status", ("created_at", DateRangeFilter)]
    saved = [("Open", "status__exact=open"), ("Lapsed", "status__exact=lapsed")]
    created = instant("created_at", "placed")
    expires = instant("expires_at", "expires")
    closed = instant("closed_at", "closed")
    copied = identifier()
    also_by = ["reference_id"]
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
    when_empty = "The grants on which a hold is pinned will stand here."
    list_display = ["id", "owner", "hold", "grant", "position", "set_aside"]
    set_aside = counted("amount")
    list_select_related = ["balance__user", "balance__organization", "hold", "grant"]
    fields = ["id", "owner", "hold", "grant", "position", "amount"]


@admin.register(CreditRequest)
class CreditRequestAdmin(OwnedAdmin):
    when_empty = "Requests that came with a key will stand here, so that none takes effect twice."
    list_display = ["key", "owner", "verb", "by", "transaction", "created"]
    verb = named("operation")
    by = named("caller")
    created = instant("created_at", "when")
    list_select_related = ["balance__user", "balance__organization", "caller", "transaction"]
    also_by = ["key"]
    search_help_text = "E-mail, organization, id or key"
    fields = ["id", "owner", "key", "operation", "caller", ("transaction", "hold"), "answer", "print", "created"]

    @admin.display(description="fingerprint")
    def print(self, row: CreditRequest) -> str:
        return bytes(row.fingerprint).hex()
