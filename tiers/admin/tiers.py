"""Admin pages of tiers and recovery costs, which staff edit; every version is kept in the history."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from fluxori.adminkit.columns import timestamp_column
from fluxori.adminkit.dated_rows import DatedAdmin, HistoryAdmin, ReasonedForm
from fluxori.adminkit.formatting import format_credits, format_timestamp
from tiers import queries
from tiers.models import RecoveryCost, Tier

CAPS = ("rollover_cap_credits", "rollover_cap_percent", "rollover_months")


class TierForm(ReasonedForm):
    """A tier. The form checks the price range, and that caps are set for the capped policy only."""

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        lowest, highest = data.get("price_min"), data.get("price_max")
        if lowest is not None and highest is not None and highest < lowest:
            self.add_error("price_max", "The highest price cannot be below the lowest.")
        if data.get("rollover") == Tier.Rollover.CAPPED:
            self._require_cap(data)
        else:
            for name in CAPS:
                if data.get(name) is not None:
                    self.add_error(name, "Only the capped policy uses this field.")
        return data

    def _require_cap(self, data: dict[str, Any]) -> None:
        # A cap with an error of its own counts as given.
        given = (name in self.errors or data.get(name) is not None for name in CAPS[:2])
        if not any(given):
            self.add_error("rollover_cap_credits", "The capped policy requires a cap in credits, in percent, or both.")


@admin.register(Tier)
class TierAdmin(HistoryAdmin):
    form = TierForm
    change_form_template = "admin/console/affected.html"
    list_display = ["code", "name", "credits_a_month", "price", "per_credit", "rollover", "is_public"]
    list_filter = ["is_public", "rollover"]
    search_fields = ["code", "name"]
    fields = [
        "code",
        "name",
        "monthly_credits",
        ("price_min", "price_max"),
        "rollover",
        *CAPS,
        "is_public",
        "change_reason",
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Tier | None = None) -> list[str]:
        return ["code"] if obj else []

    def affected(self, request: HttpRequest, obj: Tier | None) -> list[str]:
        return [] if obj is None else affected_by(obj)

    @admin.display(description="monthly credits", ordering="monthly_credits")
    def credits_a_month(self, tier: Tier) -> str:
        return format_credits(tier.monthly_credits)

    @admin.display(description="monthly price")
    def price(self, tier: Tier) -> str:
        return f"R{tier.price_min:,} to R{tier.price_max:,}"

    @admin.display(description="value of a credit")
    def per_credit(self, tier: Tier) -> str:
        lowest, highest = tier.price_min / tier.monthly_credits, tier.price_max / tier.monthly_credits
        return f"R{lowest:.4f} to R{highest:.4f}"


def affected_by(tier: Tier) -> list[str]:
    """Return sentences about the subscriptions that a change of the tier affects, and from when on."""
    impact = queries.tier_impact(tier=tier.pk)
    if not impact.subscriptions:
        sentences = ["No balance subscribes to this tier now."]
    else:
        subscriptions = f"{impact.subscriptions:,} subscription{'' if impact.subscriptions == 1 else 's'}"
        sentences = [f"{subscriptions}, next allocations from {format_timestamp(impact.next_allocation_at)}."]
    if impact.scheduled:
        sentences.append(f"{impact.scheduled:,} more change to it with their next period.")
    return [*sentences, "Credits that were granted already do not change."]


@admin.register(RecoveryCost)
class RecoveryCostAdmin(DatedAdmin):
    list_display = ["rand_per_credit", "effective"]
    effective = timestamp_column("effective_from", "effective from")
    search_fields = ["rand_per_credit"]
    fields = ["rand_per_credit", "effective_from", "change_reason"]
