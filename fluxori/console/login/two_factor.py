"""The pages of two-factor login: set it up, give a code after the password, and manage recovery codes.

A session whose user has two-factor login is marked at login. Until a code was given, the middleware shows it nothing of
the admin but the page for the code.
"""

from typing import Any
from urllib.parse import urlencode

import django_otp
import qrcode
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import mark_safe
from django_otp.models import Device
from qrcode.image.svg import SvgPathImage
from unfold.widgets import UnfoldAdminTextInputWidget

from fluxori.core.errors import InvalidRequestError
from fluxori.identity import two_factor
from fluxori.identity.models import User

REQUIRED = "two_factor_required"
_KEY = "two_factor_key"


class CodeForm(forms.Form):
    code = forms.CharField(
        label="Code",
        max_length=32,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "autofocus": True, "inputmode": "text", "spellcheck": "false"}
        ),
    )


def code_page(request: HttpRequest) -> HttpResponse | None:
    """Return a redirect to the page for the code, if the session must still give one."""
    verify = reverse("verify_two_factor")
    if not is_code_missing(request) or request.path in {verify, reverse("admin:logout")}:
        return None
    return HttpResponseRedirect(f"{verify}?{urlencode({'next': request.get_full_path()})}")


def is_code_missing(request: Any) -> bool:
    """Return whether the user of the session has two-factor login and has not given a code in it."""
    return bool(request.session.get(REQUIRED)) and request.user.is_authenticated and not request.user.is_verified()


def mark_session(request: Any, user: User, **_: Any) -> None:
    """Mark a new session of a user with two-factor login."""
    if two_factor.is_on(user):
        request.session[REQUIRED] = True


user_logged_in.connect(mark_session, dispatch_uid="two-factor login")


def page_before_approval(request: Any) -> HttpResponse | None:
    """Return the page to show instead of an approval, if that needs two-factor login and the session has none."""
    if not settings.TWO_FACTOR_FOR_APPROVALS or request.user.is_verified():
        return None
    messages.error(request, "Approvals need two-factor login. Set it up here, then approve.")
    return HttpResponseRedirect(reverse("two_factor"))


def verify_view(request: Any) -> HttpResponse:
    """Ask for a code after the password."""
    target = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        target = reverse("admin:index")
    if not is_code_missing(request) or not two_factor.is_on(request.user):
        request.session.pop(REQUIRED, None)
        return HttpResponseRedirect(target)
    form = CodeForm(request.POST or None)
    if form.is_valid():
        device = two_factor.check_code(user=request.user, code=form.cleaned_data["code"])
        if device is not None:
            django_otp.login(request, device)
            return HttpResponseRedirect(target)
        form.add_error("code", two_factor.WRONG_CODE)
    # The menu has figures, such as the number of requests that wait.
    return _page(request, "verify", "Give a code", form=form, is_nav_sidebar_enabled=False)


def two_factor_view(request: Any) -> HttpResponse:
    """Set two-factor login up, or show its state."""
    return _manage(request) if two_factor.is_on(request.user) else _set_up(request)


def _set_up(request: Any) -> HttpResponse:
    key = request.session.setdefault(_KEY, two_factor.new_key())
    form = CodeForm(request.POST or None)
    if form.is_valid():
        try:
            code = form.cleaned_data["code"].replace(" ", "")
            device, codes = two_factor.turn_on(user=request.user, key=key, code=code)
        except InvalidRequestError as error:
            form.add_error("code", error.errors[0].detail)
        else:
            del request.session[_KEY]
            _continue_session(request, device)
            return _page(request, "codes", "Two-factor login is on", codes=codes)
    address = two_factor.app_address(request.user, key)
    image = qrcode.make(address, image_factory=SvgPathImage, border=2).to_string(encoding="unicode")
    shown_key = address.partition("secret=")[2].partition("&")[0]
    # The image is our own; it contains no text of a person.
    return _page(request, "set_up", "Two-factor login", form=form, image=mark_safe(image), key=shown_key)  # noqa: S308


def _manage(request: Any) -> HttpResponse:
    form = CodeForm(request.POST or None)
    if form.is_valid():
        if two_factor.check_code(user=request.user, code=form.cleaned_data["code"]) is None:
            form.add_error("code", two_factor.WRONG_CODE)
        elif "turn_off" in request.POST:
            two_factor.turn_off(user=request.user, actor=request.user)
            _continue_session(request, None)
            messages.success(request, "Two-factor login is off. All other sessions have ended.")
            return HttpResponseRedirect(reverse("two_factor"))
        else:
            codes = two_factor.renew_recovery_codes(user=request.user)
            return _page(request, "codes", "New recovery codes", codes=codes)
    left = two_factor.recovery_codes_left(request.user)
    return _page(request, "manage", "Two-factor login", form=form, left=left)


def _continue_session(request: Any, device: Device | None) -> None:
    """Keep the session of this request, although the sessions of its user were ended."""
    request.user.refresh_from_db(fields=["session_generation"])
    update_session_auth_hash(request, request.user)
    if device is None:
        request.session.pop(REQUIRED, None)
        return
    request.session[REQUIRED] = True
    django_otp.login(request, device)


def _page(request: Any, template: str, title: str, **context: Any) -> HttpResponse:
    shown = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(request, f"admin/console/two_factor/{template}.html", shown)
