"""The time zone of the reader on admin pages: the browser sends its name in a cookie. Without a cookie it is UTC."""

from collections.abc import Callable
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

COOKIE = "console_zone"


class TimeZoneMiddleware:
    """Activates the time zone of the browser for every request under ``/admin``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/admin/"):
            return self._get_response(request)
        with timezone.override(parse_time_zone(request.COOKIES.get(COOKIE, ""))):
            return self._get_response(request)


def parse_time_zone(name: str) -> ZoneInfo:
    """Return the time zone with this URL-quoted name, or UTC if there is none."""
    try:
        return ZoneInfo(unquote(name) or "UTC")
    except (LookupError, OSError, ValueError):  # zoneinfo raises these for unknown names, paths of folders included
        return ZoneInfo("UTC")
