"""Times in the zone of whoever reads them: the browser says which, in a cookie; without one it is UTC."""

from collections.abc import Callable
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

COOKIE = "console_zone"


class ZoneMiddleware:
    """Shows and reads times under ``/admin`` in the zone that the browser named."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/admin/"):
            return self._get_response(request)
        with timezone.override(zone_of(request.COOKIES.get(COOKIE, ""))):
            return self._get_response(request)


def zone_of(said: str) -> ZoneInfo:
    """Return the zone with this name, or UTC where there is none."""
    try:
        return ZoneInfo(unquote(said) or "UTC")
    except (LookupError, OSError, ValueError):  # what zoneinfo says of names that are none, folders included
        return ZoneInfo("UTC")
