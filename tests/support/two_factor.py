"""Codes of an authenticator app in tests."""

from base64 import b32decode

from django_otp.oath import TOTP


def code_of(key: str, *, later: int = 0) -> str:
    """Return the code that an app with this base32 key shows, or the one that it shows ``later`` steps later."""
    totp = TOTP(b32decode(key), drift=later)
    return f"{totp.token():06}"


def wrong_code(key: str) -> str:
    """Return a code that the app shows at no time near now."""
    near = {code_of(key, later=step) for step in range(-3, 4)}
    return next(code for code in ("000000", "111111", "222222", "333333") if code not in near)
