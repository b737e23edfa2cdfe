"""Which form an answer takes: JSON, for everybody who accepts it."""

from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

_ANYTHING = {"", "*/*", "application/json", "application/json, text/plain, */*"}


class ContentNegotiation(DefaultContentNegotiation):
    """The framework's negotiation, without the work where the answer is plain, and without ``?format=``."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> Any:
        if request.META.get("HTTP_ACCEPT", "") in _ANYTHING:
            preferred = next(iter(renderers))
            return preferred, preferred.media_type
        return super().select_renderer(request, renderers, format_suffix)
