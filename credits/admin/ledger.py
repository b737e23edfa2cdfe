"""Read-only admin pages of the tables of the ledger."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import TabularInline

from credits import queries
from credits.admin.owners import OwnedAdmin, owner_name
from credits.models import (
    BalanceRepair,
    CreditBalance,
    CreditEntry,
    CreditGrant,
    CreditHold,
    CreditPin,
    CreditRequest,
    CreditTransaction,
)
from fluxori.adminkit.changelist import DateRangeFilter
from fluxori.adminkit.columns import credits_column, expiry_column, id_column, name_column, timestamp_column
from fluxori.adminkit.formatting import changelist_link_html, name_html, object_link_html
from fluxori.core import clock


class ReadOnlyInline(TabularInline):  # type: ignore[misc]
    """Read-only rows that belong to the row of the page."""

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
    """A filter for balances that need attention, at the time of the request.

    Each choice has its own partial index, because few rows match.
    """

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("suspended", "Spending suspended"), ("debt", "In debt")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CreditBalance]) -> QuerySet[CreditBalance]:
        if self.value() == "suspended":
            return queryset.filter(suspended_at__isnull=False)
        return queries.balances_in_debt(queryset, at=clock.now()) if self.value() == "debt" else queryset


@admin.register(CreditBalance)
class CreditBalanceAdmin(OwnedAdmin):
    owner_fields = ("pk",)
    link_filters = ()
    export_columns = {"owner": owner_name}
    list_display = ["owner", "kind", "total", "on_hold", "in_debt", "changed", "suspended"]
    total = credits_column("balance")
    on_hold = credits_column("held")
    in_debt = credits_column("debt")
    empty_message = "A balance opens when an owner receives credits for the first time."
    list_filter = [StateFilter]
    saved_links = [("Suspended", "state=suspended"), ("In debt", "state=debt")]
    list_select_related = ["user", "organization"]
    fields = ["id_to_copy", "sequence", "version", "changed", "created", "suspended", "head"]
    id_to_copy = id_column()
    changed = timestamp_column("last_at", "last change")
    created = timestamp_column("created_at")
    suspended = timestamp_column("suspended_at", "suspended since")
    change_list_template = "admin/credits/creditbalance/change_list.html"

    def prepare_rows(self, rows: Sequence[CreditBalance]) -> None:
        queries.settle_balances(rows, at=clock.now())

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditBalance]:
        return CreditBalance.objects.select_related("user", "organization").order_by(*self.ordering)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"may_add_credits": request.user.has_perm("console.add_credits")}
        response: HttpResponse = super().changelist_view(request, {**context, **(extra_context or {})})
        return response

    @admin.display(description="owner")
    def owner(self, row: Any) -> str:
        return name_html(owner_name(row))

    @admin.display(description="kind")
    def kind(self, row: CreditBalance) -> str:
        return row.owner.kind

    @admin.display(description="hash of the last transaction")
    def head(self, row: CreditBalance) -> str:
        return bytes(row.head_hash).hex()


class HoldingFilter(admin.SimpleListFilter):
    """A filter for grants that still have credits, remaining or held, at the time of the request."""

    title = "still holding credits"
    parameter_name = "live__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Yes"), ("0", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CreditGrant]) -> QuerySet[CreditGrant]:
        if self.value() not in {"0", "1"}:
            return queryset
        emptied = queries.emptied_grants(at=clock.now())
        if self.value() == "1":
            return queryset.filter(live=True).exclude(pk__in=emptied)
        return queryset.filter(Q(live=False) | Q(pk__in=emptied))


@admin.register(CreditGrant)
class CreditGrantAdmin(OwnedAdmin):
    ordering = ("-effective_at", "-pk")
    list_display = ["source", "owner", "granted", "remains", "on_hold", "state", "effective", "expires", "voided"]
    granted = credits_column("amount")
    remains = credits_column("remaining")
    on_hold = credits_column("held")
    empty_message = "Allocated, purchased and added credits appear here, with what remains of them."
    list_filter = ["source", HoldingFilter, ("effective_at", DateRangeFilter)]
    saved_links = [
        ("Purchases", "source__exact=purchase"),
        ("Adjustments", "source__exact=adjustment"),
        ("Still holding credits", "live__exact=1"),
    ]
    effective = timestamp_column("effective_at", "effective")
    expires = expiry_column("expires_at", "expires")
    voided = timestamp_column("voided_at", "voided")
    rolls_until = timestamp_column("roll_until")
    id_to_copy = id_column()
    fields = [
        "id_to_copy",
        "owner",
        "source",
        ("amount", "remaining", "held", "state"),
        "effective",
        ("expires", "voided"),
        ("priority", "unit_price"),
        ("roll_cap", "rolls_until"),
        "created_by",
        "parent",
        "feature",
        "history",
    ]

    export_columns = {**OwnedAdmin.export_columns, "status": lambda row: row.status}

    def prepare_rows(self, rows: Sequence[CreditGrant]) -> None:
        queries.settle_grants(rows, at=clock.now())

    @admin.display(description="status")
    def state(self, row: Any) -> str:
        return str(row.status).capitalize()

    @admin.display(description="transaction")
    def created_by(self, row: CreditGrant) -> str:
        return object_link_html(row.transaction)

    @admin.display(description="history")
    def history(self, row: CreditGrant) -> str:
        return changelist_link_html("credits_creditentry", "Entries of this grant", grant=row.pk)


class EntriesInline(ReadOnlyInline):
    model = CreditEntry
    verbose_name_plural = "entries, in burn order"
    fields = ["position", "amount", "grant_or_debt", "remaining_after"]
    readonly_fields = fields

    @admin.display(description="grant")
    def grant_or_debt(self, row: CreditEntry) -> str:
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
        "signed_amount",
        "new_balance",
        "description",
        "reference",
        "actor_name",
    ]
    reference = name_column("reference_id", "reference")
    actor_name = name_column("actor")
    signed_amount = credits_column("amount")
    new_balance = credits_column("balance_after")
    empty_message = "Transactions appear here, from the first allocation, purchase or usage on."
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
    recorded = timestamp_column("recorded_at", "recorded")
    id_to_copy = id_column()
    list_select_related = ["balance__user", "balance__organization", "actor"]
    exact_search_fields = ["reference_id"]
    search_help_text = "E-mail, organization, id or reference"
    inlines = [EntriesInline]
    fields = [
        "id_to_copy",
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
    link_filters = ("balance", "grant")
    empty_message = "Entries appear here: what each transaction added to a grant or took from it."
    list_display = ["id", "owner", "transaction", "position", "signed_amount", "grant_or_debt", "remains"]
    signed_amount = credits_column("amount")
    remains = credits_column("remaining_after")
    list_select_related = ["balance__user", "balance__organization", "transaction", "grant"]
    fields = ["id", "owner", "transaction", "position", "amount", "grant_or_debt", "remaining_after"]

    @admin.display(description="grant")
    def grant_or_debt(self, row: CreditEntry) -> str:
        return object_link_html(row.grant) if row.grant_id else "debt"


class PinsInline(ReadOnlyInline):
    model = CreditPin
    verbose_name_plural = "pins, in burn order"
    fields = ["position", "amount", "pinned_grant"]
    readonly_fields = fields

    @admin.display(description="grant")
    def pinned_grant(self, row: CreditPin) -> str:
        return object_link_html(row.grant)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditPin]:
        return CreditPin.objects.select_related("grant").order_by("position")


class HoldStatusFilter(admin.SimpleListFilter):
    """A filter by the status that a hold has at the time of the request: an open hold lapses without any job."""

    title = "status"
    parameter_name = "status__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(CreditHold.Status.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[CreditHold]) -> QuerySet[CreditHold]:
        due = Q(status=CreditHold.Status.OPEN, expires_at__lte=clock.now())
        if self.value() == CreditHold.Status.OPEN:
            return queryset.filter(status=CreditHold.Status.OPEN).exclude(due)
        if self.value() == CreditHold.Status.LAPSED:
            return queryset.filter(Q(status=CreditHold.Status.LAPSED) | due)
        return queryset.filter(status=self.value()) if self.value() else queryset


@admin.register(CreditHold)
class CreditHoldAdmin(OwnedAdmin):
    ordering = ("-created_at", "-pk")
    list_display = ["created", "owner", "status", "on_hold", "spent", "expires", "closed"]
    on_hold = credits_column("amount")
    spent = credits_column("captured")
    empty_message = "Holds appear here: credits that are reserved before work begins."
    list_filter = [HoldStatusFilter, ("created_at", DateRangeFilter)]
    saved_links = [("Open", "status__exact=open"), ("Lapsed", "status__exact=lapsed")]
    created = timestamp_column("created_at", "placed")
    expires = timestamp_column("expires_at", "expires")
    closed = timestamp_column("closed_at", "closed")
    id_to_copy = id_column()
    exact_search_fields = ["reference_id"]
    search_help_text = "E-mail, organization, id or reference"
    inlines = [PinsInline]

    def prepare_rows(self, rows: Sequence[CreditHold]) -> None:
        queries.settle_holds(rows, at=clock.now())

    fields = [
        "id_to_copy",
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
    empty_message = "Pins appear here: the grants from which a hold reserves credits."
    list_display = ["id", "owner", "hold", "grant", "position", "on_hold"]
    on_hold = credits_column("amount")
    list_select_related = ["balance__user", "balance__organization", "hold", "grant"]
    fields = ["id", "owner", "hold", "grant", "position", "amount"]


@admin.register(CreditRequest)
class CreditRequestAdmin(OwnedAdmin):
    empty_message = "Requests with an idempotency key appear here. Each takes effect once."
    list_display = ["key", "owner", "operation_name", "actor_name", "transaction", "created"]
    operation_name = name_column("operation")
    actor_name = name_column("caller")
    created = timestamp_column("created_at", "when")
    list_select_related = ["balance__user", "balance__organization", "caller", "transaction"]
    exact_search_fields = ["key"]
    search_help_text = "E-mail, organization, id or key"
    fields = ["id", "owner", "key", "operation", "caller", ("transaction", "hold"), "result", "print", "created"]

    @admin.display(description="fingerprint")
    def print(self, row: CreditRequest) -> str:
        return bytes(row.fingerprint).hex()


@admin.register(BalanceRepair)
class BalanceRepairAdmin(OwnedAdmin):
    empty_message = "Repairs by rebuild_balance appear here, with the reason and the values before and after."
    list_display = ["when", "owner", "reason"]
    when = timestamp_column("at", "when")
    id_to_copy = id_column()
    fields = ["id_to_copy", "owner", "when", "reason", "before", "after"]
