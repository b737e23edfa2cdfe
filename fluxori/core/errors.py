"""The kinds of domain errors. Each package defines its own errors as subclasses of these kinds.

A domain error is part of an operation's contract: it has a stable ``code``, a ``title`` for people, and the ``facts``
that led to it. An operation that raises one has written nothing. ``fluxori.api.problems`` maps the kinds to HTTP status
codes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar


class DomainError(Exception):
    """The system rejects a request for a reason that the caller can know."""

    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, **facts: Any) -> None:
        super().__init__(facts)
        self.facts = facts

    def __str__(self) -> str:
        details = ", ".join(f"{name}={value}" for name, value in self.facts.items())
        return f"{self.title} ({details})" if details else self.title

    @property
    def detail(self) -> str:
        """One sentence for a person: the title, unless a class overrides it to include the facts."""
        return f"{self.title}."


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in one argument: its snake_case name, a stable code, and a sentence."""

    field: str
    code: str
    detail: str


class InvalidRequestError(DomainError):
    """The request is invalid, whatever the stored data."""

    code = "invalid"
    title = "The request is not valid"

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__(errors=self.errors)

    @classmethod
    def field(cls, field: str, code: str, detail: str) -> "InvalidRequestError":
        return cls([FieldError(field, code, detail)])

    def __str__(self) -> str:
        return "; ".join(f"{error.field}: {error.detail}" for error in self.errors)

    @property
    def detail(self) -> str:
        return str(self)


class PaymentRequiredError(DomainError):
    """The credits do not cover the request."""


class ForbiddenError(DomainError):
    """This caller may not make the request."""


class NotFoundError(DomainError):
    """The object does not exist, or the caller may not see it."""


class ConflictError(DomainError):
    """The current state does not allow the request. Another state could."""


class KeyReusedError(DomainError):
    """The idempotency key was used for a different request."""


class AbortedError(DomainError):
    """Another part of the same atomic request was rejected."""


class UnavailableError(DomainError):
    """The request cannot be served now. A retry with the same idempotency key is safe."""
