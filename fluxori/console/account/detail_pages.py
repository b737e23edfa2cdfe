"""Detail pages of single rows, and the buttons for the staff actions that fit a row.

``DetailPageMixin`` replaces the form of a row with a page; ``ActionButtonsMixin`` adds buttons above the form.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from fluxori.console import links
from fluxori.console.actions.catalogue import ACTIONS, allowed_actions


@dataclass(frozen=True, slots=True)
class ActionButton:
    """A link to the form of a staff action."""

    label: str
    url: str
    icon: str
    primary: bool = False


def action_buttons(
    staff: Any,
    balance_id: UUID,
    candidates: Mapping[str, tuple[str, bool]],
    *,
    primary: Container[str] = (),
    **params: Any,
) -> list[ActionButton]:
    """Return a button for each candidate that applies and that ``staff`` may perform.

    ``candidates`` are (label, applies) by code of the action. ``params`` are those of ``links.action_url``.
    """
    allowed = allowed_actions(staff)
    return [
        ActionButton(label, links.action_url(code, balance_id, **params), ACTIONS[code].icon, primary=code in primary)
        for code, (label, applies) in candidates.items()
        if applies and allowed[code]
    ]


class DetailPageMixin:
    """Shows a row on a page of its own instead of in a form. The page accepts no input."""

    page_template: str

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the template context of the page. Every subclass defines it."""
        raise NotImplementedError

    def change_view(
        self: Any, request: Any, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if not self.has_view_permission(request, row) or request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        if row is None:
            missing: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return missing
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "allowed": allowed_actions(request.user),
            "can_see_value": request.user.has_perm("console.view_value"),
            **self.page_context(request, row),
            **(extra_context or {}),
        }
        return TemplateResponse(request, self.page_template, context)


class ActionButtonsMixin:
    """Shows a row as the admin does, with buttons for the staff actions that fit it."""

    change_form_template = "admin/console/change_form_with_actions.html"

    def get_action_buttons(self, request: HttpRequest, row: Any) -> list[ActionButton]:
        """Return the buttons of the actions that fit the row. Every subclass defines it."""
        raise NotImplementedError

    def change_view(
        self: Any, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        context = {"buttons": self.get_action_buttons(request, row) if row is not None else []}
        response: HttpResponse = super().change_view(  # type: ignore[misc]
            request, object_id, form_url, {**context, **(extra_context or {})}
        )
        return response
