"""Kinds of refusal. What is refused, and why, is said by the app that refuses.

A refusal is part of an operation's contract: it has a stable ``code``, a ``title`` in words for people, and the
``facts`` that led to it. Its kind, the parent class, says what sort of no it is; ``fluxori.api.problems`` turns
kinds into HTTP. A refused operation has written nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar


class DomainError(Exception):
    """The system says no, and the caller can know why."""

    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, **facts: Any) -> None:
        super().__init__(facts)
        self.facts = facts

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.facts.items())
        return f"{self.title} ({told})" if told else self.title

    @property
    def detail(self) -> str:
        """One sentence for a person. A class with more to say overrides it."""
        return f"{self.title}."


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one argument: its snake_case name, a stable code, and a sentence."""

    field: str
    code: str
    detail: str


class InvalidRequestError(DomainError):
    """The request could never be right, whatever the state of things."""

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
    """There is not enough to pay for it."""


class ForbiddenError(DomainError):
    """This caller may not do this."""


class NotFoundError(DomainError):
    """There is no such thing, or none that this caller may see."""


class ConflictError(DomainError):
    """It could be right at another time, but not in the present state."""


class KeyReusedError(DomainError):
    """The idempotency key already names another request."""


class AbortedError(DomainError):
    """Another part of the same request was refused, and they go together."""


class UnavailableError(DomainError):
    """It cannot be answered now; a retry with the same idempotency key is safe."""
