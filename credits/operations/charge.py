"""Charge for work: a context manager that places a hold, runs the work, and captures or releases the hold."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, transaction

from credits.arguments import Validator
from credits.domain import constants
from credits.domain.records import Hold, Transaction
from credits.operations.capture_hold import capture_hold
from credits.operations.place_hold import place_hold
from credits.operations.release_hold import release_hold
from fluxori.core.errors import DomainError
from fluxori.identity.models import User
from fluxori.identity.owner import OwnerLike


class Charge:
    """Work that is being charged for: its hold, the final cost, and at the end its usage."""

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        self.transaction: Transaction | None = None
        self._amount = hold.amount

    @property
    def amount(self) -> int:
        """The final cost in whole credits: what is held unless it was set; 0 makes the work free."""
        return self._amount

    @amount.setter
    def amount(self, amount: int) -> None:
        # Validated here, inside the block, before the work is done.
        validator = Validator()
        validator.integer("amount", amount, minimum=0)
        validator.raise_if_invalid()
        self._amount = amount


@contextmanager
def charge(
    *,
    owner: OwnerLike,
    amount: int | None = None,
    feature: str | None = None,
    quantity: int = 1,
    description: str = "",
    expires_in_seconds: int = constants.DEFAULT_HOLD_SECONDS,
    actor: User | UUID | None = None,
    member: User | UUID | None = None,
    reference_id: str = "",
    metadata: dict[str, Any] | None = None,
) -> Iterator[Charge]:
    """Charge for the work in the block if it succeeds, and only then::

        with operations.charge(owner=owner, feature="ai-generated-report", actor=user) as charge:
            report = write_report()

    The credits are held, and the hold is committed, before the block begins; they are spent when it ends. A block that
    raises costs nothing: the hold is released, and the exception continues. If the process dies, the hold lapses after
    ``expires_in_seconds`` (default 15 minutes, at most 24 hours).

    ``charge.amount = n`` sets the final cost in whole credits: less releases the rest, more takes the excess from the
    available credits. Afterwards ``charge.transaction`` is the usage, or None if the cost was 0. There is no
    idempotency key and no ``at``: each run of the block is new work, and the clock is read before it and after it.

    The errors before the block are those of :func:`place_hold`; the block then does not run. The errors after it are
    those of :func:`capture_hold`: HoldClosedError if the work took longer than the hold (ask for more seconds, or
    extend ``charge.hold``), and for an excess SpendingSuspendedError, SpendingLimitReachedError or
    InsufficientCreditsError; the hold then stays open until it lapses, so that it can still be captured.

    :raises RuntimeError: it runs inside a transaction of the caller
    """
    _require_no_transaction()
    running = Charge(
        place_hold(
            owner=owner,
            amount=amount,
            feature=feature,
            quantity=quantity,
            description=description,
            expires_in_seconds=expires_in_seconds,
            actor=actor,
            member=member,
            reference_id=reference_id,
            metadata=metadata,
        ).hold
    )
    try:
        yield running
    except BaseException:
        # The exception of the block matters more than a failed release: that hold lapses.
        with suppress(DomainError, DatabaseError, InterfaceError):
            release_hold(hold_id=running.hold.id, actor=actor)
        raise
    running.transaction = capture_hold(hold_id=running.hold.id, amount=running.amount, actor=actor).transaction


def _require_no_transaction() -> None:
    try:
        with transaction.atomic(durable=True):
            pass
    except RuntimeError as nested:
        raise RuntimeError(
            "charge() cannot run inside transaction.atomic(): the hold must be committed before the work begins. "
            "Otherwise a rollback would undo the hold after the work was done, and the balance would stay locked "
            "during the work."
        ) from nested
