"""The middleware of the admin: sessions, CSRF, users, two-factor login, messages, history and the reader's time zone.

A request to the API has a token and needs none of them. ``admin_only`` is the factory that limits a middleware class to
the pages of the admin; the setting MIDDLEWARE names the classes that it returns. They are subclasses of Django's, so
the checks of the admin find them.
"""

from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from django.contrib.auth.middleware import AuthenticationMiddleware as DjangoAuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware as DjangoMessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware as DjangoCsrfViewMiddleware
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin
from django_otp.middleware import OTPMiddleware as DjangoOTPMiddleware
from simple_history.middleware import HistoryRequestMiddleware

from fluxori.console.login.two_factor import code_page

# The browser sends the name of its time zone in this cookie. Without it the pages are in UTC.
TIME_ZONE_COOKIE = "console_zone"


def is_admin_page(request: HttpRequest) -> bool:
    return request.path_info.startswith("/admin/")


def admin_only(middleware: Any) -> Any:
    """Return a subclass of ``middleware`` that passes a request on at once unless it is for a page of the admin.

    ``middleware`` may use ``__call__``, ``process_request``, ``process_response`` and ``process_view``.
    """

    class AdminOnly(middleware):  # type: ignore[misc] # a class that is known at run time
        def __call__(self, request: HttpRequest) -> HttpResponseBase:
            response: HttpResponseBase = (
                super().__call__(request) if is_admin_page(request) else self.get_response(request)
            )
            return response

        def process_view(self, request: HttpRequest, *arguments: Any) -> HttpResponseBase | None:
            process_view = getattr(super(), "process_view", None)
            return process_view(request, *arguments) if process_view and is_admin_page(request) else None

    AdminOnly.__name__ = AdminOnly.__qualname__ = middleware.__name__
    return AdminOnly


class _TwoFactor(MiddlewareMixin):
    """Sends a session that must still give a code to the page for it, from every page of the admin."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        redirect = code_page(request)
        if redirect is not None:
            return redirect
        response = self.get_response(request)
        assert isinstance(response, HttpResponseBase)  # this project has no asynchronous views
        return response


class _History(MiddlewareMixin):
    """The middleware of django-simple-history, which is a function, as a class."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = HistoryRequestMiddleware(self.get_response)(request)
        return response


class _TimeZone(MiddlewareMixin):
    """Activates the time zone of the browser."""

    def __call__(self, request: HttpRequest) -> Any:
        with timezone.override(parse_time_zone(request.COOKIES.get(TIME_ZONE_COOKIE, ""))):
            return self.get_response(request)


def parse_time_zone(name: str) -> ZoneInfo:
    """Return the time zone with this URL-quoted name, or UTC if there is none."""
    try:
        return ZoneInfo(unquote(name) or "UTC")
    except (LookupError, OSError, ValueError):  # zoneinfo raises these for unknown names, paths of folders included
        return ZoneInfo("UTC")


SessionMiddleware = admin_only(DjangoSessionMiddleware)
CsrfViewMiddleware = admin_only(DjangoCsrfViewMiddleware)
AuthenticationMiddleware = admin_only(DjangoAuthenticationMiddleware)
OTPMiddleware = admin_only(DjangoOTPMiddleware)
TwoFactorMiddleware = admin_only(_TwoFactor)
MessageMiddleware = admin_only(DjangoMessageMiddleware)
HistoryMiddleware = admin_only(_History)
TimeZoneMiddleware = admin_only(_TimeZone)
