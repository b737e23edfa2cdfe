"""Content negotiation: every response is JSON."""

from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

_COMMON_ACCEPT_HEADERS = {"", "*/*", "application/json", "application/json, text/plain, */*"}


class ContentNegotiation(DefaultContentNegotiation):
    """The framework's negotiation with a shortcut for common Accept headers, and without ``?format=``."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> Any:
        if request.META.get("HTTP_ACCEPT", "") in _COMMON_ACCEPT_HEADERS:
            renderer = next(iter(renderers))
            return renderer, renderer.media_type
        return super().select_renderer(request, renderers, format_suffix)
