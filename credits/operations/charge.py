from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, transaction

from credits.domain import constants
from credits.engine.validation import Arguments
from credits.models import CreditHold, CreditTransaction
from credits.operations.holds import capture_hold, place_hold, release_hold
from fluxori.core.errors import DomainError
from fluxori.identity.models import User
from fluxori.identity.owner import OwnerLike


class Charge:
    """Work under way that is being charged for: its hold, what it will cost, and in the end its usage."""

    def __init__(self, hold: CreditHold) -> None:
        self.hold = hold
        self.transaction: CreditTransaction | None = None
        self._amount = hold.amount

    @property
    def amount(self) -> int:
        """What the work will cost, in whole credits: what is held, unless it was set; 0 makes it free."""
        return self._amount

    @amount.setter
    def amount(self, amount: int) -> None:
        # Refused here, in the block, and not after the work is done.
        arguments = Arguments()
        arguments.whole("amount", amount, minimum=0)
        arguments.refuse()
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

    The credits are set aside, and committed, before the block begins, and spent when it ends. A block that raises costs
    nothing: they are free again at once, and what it raised goes on. If the process dies they are free again after
    ``expires_in_seconds`` (15 minutes unless told, at most 24 hours).

    ``charge.amount = n`` sets the final cost, in whole credits: less frees the rest, more takes the excess from what
    is available. Afterwards ``charge.transaction`` is the usage, None where the cost was 0. It takes no idempotency key
    and no instant: each run of the block is work of its own, and the clock is read before it and again after it.

    Before the block it refuses what :func:`place_hold` refuses, and the block does not run. After it, what
    :func:`capture_hold` refuses: HoldClosedError if the work outlasted the hold (ask for more seconds, or extend
    ``charge.hold`` on the way), SpendingSuspendedError, SpendingLimitReachedError and InsufficientCreditsError for an
    excess; the hold then stays until it lapses, so that what was held can still be captured.

    :raises RuntimeError: inside a transaction of the caller's
    """
    _must_commit()
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
        )
    )
    try:
        yield running
    except BaseException:
        # What the block raised matters more than a hold that cannot be released: that one lapses.
        with suppress(DomainError, DatabaseError, InterfaceError):
            release_hold(hold_id=running.hold.pk, actor=actor)
        raise
    running.transaction = capture_hold(hold_id=running.hold.pk, amount=running.amount, actor=actor).transaction


def _must_commit() -> None:
    try:
        with transaction.atomic(durable=True):
            pass
    except RuntimeError as nested:
        raise RuntimeError(
            "charge() cannot run inside transaction.atomic(): the hold must be committed before the work begins. "
            "Uncommitted it would vanish with the transaction, work and all, and the balance would stay locked for as "
            "long as the work takes."
        ) from nested
