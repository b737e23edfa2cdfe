"""What is offered, and what it costs us: edited by staff, with history."""

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
    """A tier, whose prices are a range, and whose caps belong to one policy of rollover."""

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        lowest, highest = said.get("price_min"), said.get("price_max")
        if lowest is not None and highest is not None and highest < lowest:
            self.add_error("price_max", "The highest price cannot be below the lowest.")
        if said.get("rollover") == Tier.Rollover.CAPPED:
            self._need_a_cap(said)
        else:
            for name in CAPS:
                if said.get(name) is not None:
                    self.add_error(name, "It belongs to the capped policy only.")
        return said

    def _need_a_cap(self, said: dict[str, Any]) -> None:
        asked = (name in self.errors or said.get(name) is not None for name in CAPS[:2])
        if not any(asked):
            self.add_error("rollover_cap_credits", "The capped policy needs a cap: in credits, in percent, or both.")


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
    """Return whom a change of this tier touches, and from when on: what was granted stays as it is."""
    found = queries.tier_impact(tier=tier.pk)
    if not found.subscriptions:
        sentences = ["Nobody subscribes to this tier now."]
    else:
        who = f"{found.subscriptions:,} subscription{'' if found.subscriptions == 1 else 's'}"
        sentences = [f"{who}, next allocations from {format_timestamp(found.next_allocation_at)}."]
    if found.scheduled:
        sentences.append(f"{found.scheduled:,} more change to it with their next period.")
    return [*sentences, "What was granted already stays as it is."]


@admin.register(RecoveryCost)
class RecoveryCostAdmin(DatedAdmin):
    list_display = ["rand_per_credit", "effective"]
    effective = timestamp_column("effective_from", "effective from")
    search_fields = ["rand_per_credit"]
    fields = ["rand_per_credit", "effective_from", "change_reason"]
