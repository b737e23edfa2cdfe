"""Two-factor login for staff: one-time codes of an authenticator app (TOTP), and recovery codes if the device is lost.

django-otp has the algorithm, the rows, the protection against a repeated code, and the wait after wrong codes.
"""

import hashlib
import secrets
from binascii import unhexlify

from django.db import transaction
from django_otp.models import Device
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from fluxori.core.errors import InvalidRequestError
from fluxori.db.measured import measured
from fluxori.identity.accounts import end_sessions
from fluxori.identity.change_log import record_changes
from fluxori.identity.models import User
from fluxori.identity.one_time_tokens import lock_user

RECOVERY_CODES = 10
WRONG_CODE = "This code is wrong or was used before. After several wrong codes, wait a moment."


def is_on(user: User) -> bool:
    exists: bool = TOTPDevice.objects.filter(user=user, confirmed=True).exists()
    return exists


def new_key() -> str:
    """Return a new secret for an authenticator app, in hexadecimal."""
    return secrets.token_hex(20)


def app_address(user: User, key: str) -> str:
    """Return the address that an authenticator app reads from the QR code."""
    address: str = TOTPDevice(user=user, key=key).config_url
    return address


@measured
@transaction.atomic
def turn_on(*, user: User, key: str, code: str) -> tuple[Device, list[str]]:
    """Turn two-factor login on, with a code that proves that the app knows ``key``. All earlier sessions end.

    Return the device, and recovery codes, which are not stored and cannot be shown again.

    :raises InvalidRequestError: the code is wrong, or two-factor login is already on (``code``: ``invalid_choice``)
    """
    lock_user(user.pk)
    if is_on(user):
        raise InvalidRequestError.field("code", "invalid_choice", "Two-factor login is already on.")
    totp = TOTP(unhexlify(key))
    if not (code.isascii() and code.isdecimal() and totp.verify(int(code), tolerance=1)):
        raise InvalidRequestError.field("code", "invalid_choice", WRONG_CODE)
    device = TOTPDevice.objects.create(user=user, name="app", key=key, last_t=totp.t(), drift=totp.drift)
    end_sessions(user=user)
    record_changes(user, {"two-factor login": ("off", "on")}, actor=user)
    return device, _replace_recovery_codes(user)


@measured
@transaction.atomic
def renew_recovery_codes(*, user: User) -> list[str]:
    """Return new recovery codes. The earlier ones become invalid."""
    lock_user(user.pk)
    record_changes(user, {"recovery codes": ("", "renewed")}, actor=user)
    return _replace_recovery_codes(user)


@measured
@transaction.atomic
def turn_off(*, user: User, actor: User) -> None:
    """Turn two-factor login off, and end every session and token of the user."""
    lock_user(user.pk)
    TOTPDevice.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()
    end_sessions(user=user)
    record_changes(user, {"two-factor login": ("on", "off")}, actor=actor)


@measured
@transaction.atomic
def check_code(*, user: User, code: str) -> Device | None:
    """Use a code of the app, or a recovery code. Return its device, or None if the code is not valid now."""
    text = code.replace(" ", "").lower()
    is_recovery_code = not (len(text) == 6 and text.isascii() and text.isdecimal())
    devices = StaticDevice.objects if is_recovery_code else TOTPDevice.objects
    device = devices.select_for_update(no_key=True).filter(user=user, confirmed=True).first()
    if device is None or not device.verify_token(_digest(text) if is_recovery_code else text):
        return None
    return device


def recovery_codes_left(user: User) -> int:
    device = StaticDevice.objects.filter(user=user).first()
    return 0 if device is None else device.token_set.count()


def _replace_recovery_codes(user: User) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="recovery codes")
    codes = [secrets.token_hex(5) for _ in range(RECOVERY_CODES)]
    device.token_set.bulk_create(device.token_set.model(device=device, token=_digest(code)) for code in codes)
    return codes


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()[:16]
