"""Typed, loud readers of the environment.

Every variable the project reads is read through one ``Reader``. A value that cannot be understood, or a required one
that is missing, is collected; ``finish`` then refuses to start and lists all of them at once.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

T = TypeVar("T")


class ImproperEnvironment(Exception):
    """The environment cannot be used; the message lists every reason."""


class Reader:
    """Reads settings from ``environ`` and remembers what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._faults: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        """Return the variable as it stands; without a default it is required."""
        return self._read(name, default, str, "", "text")

    def integer(self, name: str, default: int | None = None, *, minimum: int = 0) -> int:
        def parse(raw: str) -> int:
            value = int(raw)
            if value < minimum:
                raise ValueError
            return value

        return self._read(name, default, parse, minimum, f"a whole number of at least {minimum}")

    def flag(self, name: str, default: bool | None = None) -> bool:
        known = {"1": True, "true": True, "yes": True, "on": True}
        known |= {"0": False, "false": False, "no": False, "off": False}

        def parse(raw: str) -> bool:
            if raw.lower() not in known:
                raise ValueError
            return known[raw.lower()]

        return self._read(name, default, parse, False, "true or false")

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        def parse(raw: str) -> str:
            if raw not in choices:
                raise ValueError
            return raw

        return self._read(name, default, parse, choices[0], "one of " + ", ".join(choices))

    def words(self, name: str, default: tuple[str, ...] | None = None) -> list[str]:
        """Return a comma-separated list, blanks dropped."""

        def parse(raw: str) -> list[str]:
            return [word.strip() for word in raw.split(",") if word.strip()]

        return self._read(name, None if default is None else list(default), parse, [], "a list, separated by commas")

    def database(self, name: str, default: dict[str, object] | None = None) -> dict[str, object]:
        """Return Django's database settings from ``postgres://user:password@host:port/name?option=value``.

        ``?host=/folder`` names a Unix socket and is moved into ``HOST``; other options are handed to libpq.
        """
        return self._read(
            name, default, _database, {"ENGINE": "django.db.backends.postgresql"}, "a postgres:// or postgresql:// URL"
        )

    def refuse(self, reason: str) -> None:
        """Record a fault that only the combination of several variables shows."""
        self._faults.append(reason)

    def finish(self) -> None:
        """:raises ImproperEnvironment: if anything read so far was missing or not understood"""
        if self._faults:
            raise ImproperEnvironment("The environment cannot be used:\n" + "\n".join(f"- {f}" for f in self._faults))

    def _read(self, name: str, default: T | None, parse: Callable[[str], T], stand_in: T, kind: str) -> T:
        raw = self._environ.get(name, "").strip()
        if not raw:
            if default is not None:
                return default
            self._faults.append(f"{name} is required: {kind}")
            return stand_in
        try:
            return parse(raw)
        except ValueError:
            # Only the name: the value may be a secret.
            self._faults.append(f"{name} must be {kind}")
            return stand_in


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
