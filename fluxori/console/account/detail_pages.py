"""Rows that have a page of their own instead of a form, and the acts that are offered on a row."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from fluxori.console import links
from fluxori.console.actions.catalogue import ACTS, allowed


@dataclass(frozen=True, slots=True)
class Button:
    """A link that leads to the page of one act."""

    words: str
    url: str
    icon: str
    primary: bool = False


def offered(
    staff: Any, balance_id: UUID, wanted: Mapping[str, tuple[str, bool]], *, primary: Container[str] = (), **on: Any
) -> list[Button]:
    """Return a button for each act that fits and that ``staff`` may do or ask for; ``wanted`` gives words and fit."""
    may = allowed(staff)
    return [
        Button(words, links.act(name, balance_id, **on), ACTS[name].icon, primary=name in primary)
        for name, (words, fits) in wanted.items()
        if fits and may[name]
    ]


class SeenWhole:
    """Shows a row on a page of its own, with nothing to send; what may be done are acts, each on its page."""

    page_template: str

    def facts(self, request: HttpRequest, row: Any) -> dict[str, Any]:
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
            "may": allowed(request.user),
            "sees_value": request.user.has_perm("console.view_value"),
            **self.facts(request, row),
            **(extra_context or {}),
        }
        return TemplateResponse(request, self.page_template, context)


class OfferingActs:
    """Shows a row as the admin does, with the acts that fit it above."""

    change_form_template = "admin/console/row.html"

    def buttons(self, request: HttpRequest, row: Any) -> list[Button]:
        raise NotImplementedError

    def change_view(
        self: Any, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        told = {"buttons": self.buttons(request, row) if row is not None else []}
        shown: HttpResponse = super().change_view(request, object_id, form_url, {**told, **(extra_context or {})})  # type: ignore[misc]
        return shown
