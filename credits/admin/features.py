"""Admin pages of features and their dated prices, which staff edit."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from unfold.admin import TabularInline

from credits.models import Feature, FeaturePrice
from credits.queries import usage
from fluxori.adminkit.columns import timestamp_column
from fluxori.adminkit.dated_rows import DatedAdmin, DatedForm, HistoryAdmin, ReasonedForm
from fluxori.adminkit.formatting import format_credits
from fluxori.adminkit.whole_numbers import WHOLE_NUMBERS
from fluxori.core import clock


class FeatureForm(ReasonedForm):
    """A feature and the reason for its change."""


class NextPriceForm(DatedForm):
    """A price on the page of its feature. The feature form has the reason."""

    change_reason: Any = None


class PricesInline(TabularInline):  # type: ignore[misc]
    """The past, current and future prices of a feature. Staff may add a price but not change one."""

    model = FeaturePrice
    form = NextPriceForm
    formfield_overrides: ClassVar[Any] = WHOLE_NUMBERS
    fields = ["credits", "effective_from"]
    extra = 0
    hide_title = True
    ordering = ["-effective_from"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Feature)
class FeatureAdmin(HistoryAdmin):
    form = FeatureForm
    change_form_template = "admin/console/affected.html"
    list_display = ["code", "name", "unit", "price_now"]
    search_fields = ["code", "name"]
    fields = ["code", "name", "unit", "change_reason"]
    export_columns = {"credits_now": lambda feature: feature.now}
    inlines = [PricesInline]

    def get_readonly_fields(self, request: HttpRequest, obj: Feature | None = None) -> list[str]:
        return ["code"] if obj else []

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feature]:
        effective = FeaturePrice.objects.filter(feature=OuterRef("pk"), effective_from__lte=clock.now())
        now: QuerySet[Feature] = super().get_queryset(request)
        return now.annotate(now=Subquery(effective.order_by("-effective_from").values("credits")[:1]))

    def affected(self, request: HttpRequest, obj: Feature | None) -> list[str]:
        return [] if obj is None else [recent_usage(obj, at=clock.now())]

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        for price in formset.save(commit=False):
            price._change_reason = form.cleaned_data["change_reason"]  # noqa: SLF001 - its documented name
        super().save_formset(request, form, formset, change)

    @admin.display(description="credits now")
    def price_now(self, feature: Any) -> str:
        return format_credits(feature.now)


def recent_usage(feature: Feature, *, at: datetime) -> str:
    """Return a sentence about the usage of the last 30 days, which a new price would have affected."""
    today = at.astimezone(UTC).date()
    totals = usage.totals(from_=today - timedelta(days=29), to=today + timedelta(days=1))
    usages = [row for row in totals.rows if row.type == "usage" and row.feature_id == feature.pk]
    times, amount = sum(row.count for row in usages), sum(row.credits_out for row in usages)
    if not times:
        return f"{feature} was not used in the last 30 days."
    return (
        f"{feature} was used {times:,} times in the last 30 days, for {amount:,} credits. Open holds keep their price."
    )


@admin.register(FeaturePrice)
class FeaturePriceAdmin(DatedAdmin):
    list_display = ["feature", "credits", "effective"]
    effective = timestamp_column("effective_from", "effective from")
    list_filter = ["feature"]
    list_select_related = ["feature"]
    search_fields = ["feature__code", "feature__name"]
    fields = ["feature", "credits", "effective_from", "change_reason"]
    ordering = ["feature", "-effective_from"]

    def affected(self, request: HttpRequest, obj: FeaturePrice | None) -> list[str]:
        at = clock.now()
        features = [obj.feature] if obj else list(Feature.objects.all())
        return [recent_usage(feature, at=at) for feature in features[:20]]
