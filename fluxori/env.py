"""Typed access to environment variables.

The settings read every variable through one ``Reader``. The reader collects the errors: missing variables and values
that cannot be parsed. ``raise_if_invalid`` reports all of them at once, without their values, which may be secrets.
"""

import os
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

T = TypeVar("T")


class EnvironmentSettingsError(Exception):
    """The environment is not valid. The message lists all errors."""


def is_weak(secret: str, *, minimum: int) -> bool:
    """Return whether a secret is too short, has fewer than five different characters, or is a known placeholder."""
    is_placeholder = secret.startswith(("django-insecure-", "development only"))
    return len(secret) < minimum or len(set(secret)) < 5 or is_placeholder


class Reader:
    """Reads typed values from ``environ`` and collects the errors."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._errors: list[str] = []

    def string(self, name: str, default: str | None = None) -> str:
        """Return the value without surrounding blanks. Without a default the variable is required."""
        return self._read(name, default, str, "", "text")

    def integer(self, name: str, default: int | None = None, *, minimum: int = 0) -> int:
        def parse(raw: str) -> int:
            value = int(raw)
            if value < minimum:
                raise ValueError
            return value

        return self._read(name, default, parse, minimum, f"a whole number of at least {minimum}")

    def flag(self, name: str, default: bool | None = None) -> bool:
        values = {"1": True, "true": True, "yes": True, "on": True}
        values |= {"0": False, "false": False, "no": False, "off": False}

        def parse(raw: str) -> bool:
            if raw.lower() not in values:
                raise ValueError
            return values[raw.lower()]

        return self._read(name, default, parse, False, "true or false")

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        def parse(raw: str) -> str:
            if raw not in choices:
                raise ValueError
            return raw

        return self._read(name, default, parse, choices[0], "one of " + ", ".join(choices))

    def string_list(self, name: str, default: tuple[str, ...] | None = None) -> list[str]:
        """Return the items of a comma-separated list, without empty items and surrounding blanks."""

        def parse(raw: str) -> list[str]:
            return [item.strip() for item in raw.split(",") if item.strip()]

        return self._read(name, None if default is None else list(default), parse, [], "a comma-separated list")

    def database(self, name: str, default: dict[str, object] | None = None) -> dict[str, object]:
        """Return Django's database settings from ``postgres://user:password@host:port/name?option=value``.

        ``?host=/folder`` names a Unix socket folder and becomes ``HOST``. All other options are passed to libpq.
        """
        return self._read(
            name, default, _database, {"ENGINE": "django.db.backends.postgresql"}, "a postgres:// or postgresql:// URL"
        )

    def check_folder(self, name: str) -> None:
        """Add an error if the variable is set and does not name a folder that this process can write to."""
        folder = self._environ.get(name)
        if folder is not None and not (os.path.isdir(folder) and os.access(folder, os.R_OK | os.W_OK | os.X_OK)):
            self.add_error(f"{name} must be a folder that this process can read and write")

    def add_error(self, message: str) -> None:
        """Add an error about a combination of several variables."""
        self._errors.append(message)

    def raise_if_invalid(self) -> None:
        """:raises EnvironmentSettingsError: a variable read so far is missing or cannot be parsed"""
        if self._errors:
            raise EnvironmentSettingsError("The environment is not valid: " + "; ".join(self._errors))

    def _read(self, name: str, default: T | None, parse: Callable[[str], T], placeholder: T, kind: str) -> T:
        raw = self._environ.get(name, "").strip()
        if not raw:
            if default is not None:
                return default
            self._errors.append(f"{name} is required: {kind}")
            return placeholder
        try:
            return parse(raw)
        except ValueError:
            # The message leaves out the value, which may be a secret.
            self._errors.append(f"{name} must be {kind}")
            return placeholder


def _database(raw: str) -> dict[str, object]:
    url = urlsplit(raw)
    name = unquote(url.path.lstrip("/"))
    if url.scheme not in ("postgres", "postgresql") or not name:
        raise ValueError
    options = dict(parse_qsl(url.query, strict_parsing=True)) if url.query else {}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(url.username or options.pop("user", "")),
        "PASSWORD": unquote(url.password or options.pop("password", "")),
        "HOST": options.pop("host", "") or unquote(url.hostname or ""),
        "PORT": str(url.port or options.pop("port", "")),
        "OPTIONS": options,
    }
