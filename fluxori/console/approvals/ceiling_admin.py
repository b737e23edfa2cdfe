"""The admin page of ceilings: how many credits the members of each group may give."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from fluxori.adminkit.columns import credits_column
from fluxori.adminkit.dated_rows import HistoryAdmin, ReasonedForm
from fluxori.console.models import ManualCreditCeiling


@admin.register(ManualCreditCeiling)
class ManualCreditCeilingAdmin(HistoryAdmin):
    form = ReasonedForm
    change_form_template = "admin/console/affected.html"
    list_display = ["group", "action_ceiling", "day_ceiling"]
    list_select_related = ["group"]
    fields = ["group", "per_action", "per_day", "change_reason"]
    action_ceiling = credits_column("per_action", "credits per action")
    day_ceiling = credits_column("per_day", "credits per day")

    def affected(self, request: HttpRequest, obj: ManualCreditCeiling | None) -> list[str]:
        if obj is None:
            return []
        members = obj.group.user_set.filter(is_active=True).count()
        return [
            "1 member of staff is in this group."
            if members == 1
            else f"{members:,} members of staff are in this group.",
            "A change takes effect with their next staff action or approval.",
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: ManualCreditCeiling | None = None) -> Any:
        return ["group"] if obj else []
