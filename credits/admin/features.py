"""Features and their dated prices."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from unfold.admin import TabularInline

from credits.admin.dated import DatedAdmin, DatedForm, HistoryAdmin
from credits.admin.read_only import credits_said
from credits.models import Feature, FeaturePrice
from fluxori.kernel import clock


class PricesInline(TabularInline):  # type: ignore[misc]
    """The prices a feature had, has and will have; a new one may be added."""

    model = FeaturePrice
    form = DatedForm
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
    list_display = ["code", "name", "unit", "price_now"]
    search_fields = ["code", "name"]
    fields = ["code", "name", "unit"]
    inlines = [PricesInline]

    def get_readonly_fields(self, request: HttpRequest, obj: Feature | None = None) -> list[str]:
        return ["code"] if obj else []

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feature]:
        begun = FeaturePrice.objects.filter(feature=OuterRef("pk"), effective_from__lte=clock.now())
        now: QuerySet[Feature] = super().get_queryset(request)
        return now.annotate(now=Subquery(begun.order_by("-effective_from").values("credits")[:1]))

    @admin.display(description="credits now")
    def price_now(self, feature: Any) -> str:
        return credits_said(feature.now)


@admin.register(FeaturePrice)
class FeaturePriceAdmin(DatedAdmin):
    list_display = ["feature", "credits", "effective_from"]
    list_filter = ["feature"]
    list_select_related = ["feature"]
    search_fields = ["feature__code", "feature__name"]
    fields = ["feature", "credits", "effective_from"]
    ordering = ["feature", "-effective_from"]
