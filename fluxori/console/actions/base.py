"""Staff actions: what a declaration of an action contains, a request to execute one, and its outcome.

A subclass of ``Action`` declares the texts, the permission and the form of one action, and calls one operation of the
ledger or of the tiers. ``actions.catalogue`` lists all of them; ``actions.operations`` executes and records them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from credits.domain.records import Transaction
from fluxori.console.actions import forms
from fluxori.console.models import Reason
from fluxori.identity.models import Organization, User

Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """One action to execute: by which actor, on the credits of which owner, on which ledger row, and why.

    ``arguments`` are those of the action's form. ``subject_id`` is the id of the row that the action is about.
    """

    action: Action
    owner: User | Organization
    arguments: dict[str, Any]
    actor: User
    at: datetime
    reason: str
    note: str = ""
    ticket: str = ""
    idempotency_key: str = ""
    subject_id: UUID | None = None

    @property
    def common_arguments(self) -> dict[str, Any]:
        """Return the arguments that every operation takes."""
        return {"actor": self.actor, "idempotency_key": self.idempotency_key or None, "at": self.at}

    @property
    def reason_label(self) -> str:
        """Return the reason that the ledger stores. The customer may read it."""
        return Reason(self.reason).label

    @property
    def required_subject_id(self) -> UUID:
        """Return the id of the row that the action is about, for an action that is about a row."""
        assert self.subject_id is not None
        return self.subject_id


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an action.

    ``button`` names the action on the button that confirms it, ``summary`` names it once done. ``no_op_reason`` says
    why the action changed nothing, if so.
    """

    button: str
    summary: str
    transaction: Transaction | None = None
    facts: Facts = field(default=())
    no_op_reason: str = ""


class Action:
    """The declaration of a staff action.

    ``code`` is stored in the records. ``subject_model`` is the kind of row that the action is about: ``transaction``,
    ``grant``, ``hold`` or ``limit``; it is empty for an action on the whole balance.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    icon: ClassVar[str]
    permission: ClassVar[str]
    form: ClassVar[type[forms.ActionForm]] = forms.ActionForm
    subject_model: ClassVar[str] = ""
    opens_balance: ClassVar[bool] = False
    # Credits that the tier entitles the owner to do not count.
    counts_toward_ceiling: ClassVar[bool] = True

    def initial(self, subject: Any) -> dict[str, Any]:
        """Return the initial values of the form. ``subject`` is the row that the action is about."""
        return {}

    def describe(self, subject: Any) -> str:
        """Return a description of the row that the action is about."""
        return ""

    def execute(self, request: ActionRequest) -> Outcome:
        """Execute the action in the database transaction of the caller. Every subclass defines it."""
        raise NotImplementedError
