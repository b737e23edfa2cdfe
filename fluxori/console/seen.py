"""Rows that have a page of their own instead of a form."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from fluxori.console.acts import allowed


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
