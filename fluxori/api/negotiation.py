"""Content negotiation: every request body and every response is JSON."""

from collections.abc import Iterable
from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

_COMMON_ACCEPT_HEADERS = {"", "*/*", "application/json", "application/json, text/plain, */*"}
_PROBLEM = "application/problem+json"


class ContentNegotiation(DefaultContentNegotiation):
    """The framework's negotiation with a shortcut for common Accept headers, and without ``?format=``.

    A caller that accepts only problem documents accepts JSON. A body must be labelled as exactly the media type of the
    parser: a range such as ``*/*`` names no type.
    """

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> Any:
        media_type, *parameters = (request.content_type or "").lower().replace(" ", "").replace('"', "").split(";")
        if any(each.startswith("charset=") and each != "charset=utf-8" for each in parameters):
            return None
        return next((parser for parser in parsers if parser.media_type == media_type), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> Any:
        accept = request.META.get("HTTP_ACCEPT", "")
        if accept in _COMMON_ACCEPT_HEADERS:
            return _first(renderers)
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except NotAcceptable:
            if _PROBLEM not in {each.partition(";")[0].strip().lower() for each in accept.split(",")}:
                raise
            return _first(renderers)


def _first(renderers: Iterable[BaseRenderer]) -> tuple[BaseRenderer, str]:
    renderer = next(iter(renderers))
    assert renderer.media_type is not None
    return renderer, renderer.media_type
