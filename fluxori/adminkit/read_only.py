"""The base class of admin pages that only show rows: neither superusers nor other staff can edit through them.

The ledger and the records of staff are written by operations only. ``fluxori.adminkit.columns`` has the columns that
such pages use.
"""

from typing import Any

from django.db.models import Model
from django.http import HttpRequest

from fluxori.adminkit.changelist import ListAdmin


class ReadOnlyAdmin(ListAdmin):
    """A model that staff can search and read. Nothing is added, changed or deleted here."""

    actions = None
    ordering: Any = ("-pk",)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **options: Any) -> Any:
        # Rows that are never edited have no edit history to show.
        return super().render_change_form(request, {**context, "show_history": False}, **options)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
