"""What falls due by an instant: holds lapse, grants expire or roll over. A pure function of a book and a time.

Operations write what it finds, in the same transaction as their own change; reads run it and write nothing; the sweep
writes it for balances that nobody touches. All three therefore tell the same story.
"""

from datetime import datetime

from credits.domain import constants
from credits.domain.balance_state import BalanceState, Grant, GrantDelta, TransactionDetails
from fluxori.core.ids import uuid7


def apply_due_events(book: BalanceState, at: datetime) -> None:
    """Bring ``book`` up to ``at``, in time order; at one instant lapses come before expiries.

    Each movement is dated at the instant it fell due, not at ``at``. Half-open: what expires at ``at`` is gone at
    ``at``. Running it once, or in any number of steps, gives the same movements.
    """
    settled = None
    while (instant := _next_due(book, at)) is not None:
        # What fell due at an instant is gone after it. Were it not, this would never end, and hold its lock for ever.
        assert settled is None or instant > settled, f"{book.id} does not settle at {instant}"
        for hold in sorted((h for h in book.holds.values() if h.expires_at <= instant), key=lambda h: h.id):
            book.close_hold(hold, "lapsed", instant)
        normalize(book, instant)
        settled = instant


def normalize(book: BalanceState, at: datetime) -> None:
    """Put right what a change at ``at`` left behind, so that only what may be spent remains.

    Credits of a voided grant leave as ``void``, those of an expired one as ``expiry`` or, at the instant of their
    expiry and up to the grant's ``roll_cap``, as ``rollover``; whatever can be spent then repays debt first. Where
    several roll over at one instant, they share the largest of their caps.
    """
    caps = []
    for grant in book.spendable():
        if grant.voided_at is not None:
            book.post(
                "void", at, [GrantDelta(grant, -grant.remaining)], TransactionDetails(description="Credits voided")
            )
        elif grant.expired(at):
            caps += _expire(book, grant, at)
    if caps:
        # Only now: what leaves at this instant anyway is out of the pool, or it would push out credits that may stay.
        enforce_rollover_cap(book, max(caps), at)
    if book.debt > 0:
        repay_debt(book, at)


def repay_debt(book: BalanceState, at: datetime) -> None:
    """Let what remains pay the debt: a ``reversal`` of amount 0, since the balance has long been reduced."""
    draws = []
    owed = book.debt
    for grant in book.spendable():
        paid = min(owed, grant.remaining)
        if paid > 0:
            draws.append(GrantDelta(grant, -paid))
            owed -= paid
    if draws:
        draws.append(GrantDelta(None, book.debt - owed))
        book.post("reversal", at, draws, TransactionDetails(description="Debt repaid"))


def _next_due(book: BalanceState, at: datetime) -> datetime | None:
    due = [hold.expires_at for hold in book.holds.values() if hold.expires_at <= at]
    due += [g.expires_at for g in book.grants.values() if g.remaining > 0 and g.expires_at and g.expires_at <= at]
    return min(due, default=None)


def _expire(book: BalanceState, grant: Grant, at: datetime) -> list[int]:
    """Let what the grant has left expire or roll over, and return the cap under which it rolled, if any of it did."""
    # Credits that come back to a grant after its expiry have missed the instant at which it rolled over.
    cap = grant.roll_cap or 0 if grant.expires_at == at else 0
    rolled = min(grant.remaining, cap)
    lost = grant.remaining - rolled
    if lost > 0:
        book.post("expiry", at, [GrantDelta(grant, -lost)], TransactionDetails(description="Credits expired"))
    if rolled == 0:
        return []
    roll_over(book, grant, at, until=grant.roll_until)
    return [cap]


def roll_over(book: BalanceState, grant: Grant, at: datetime, *, until: datetime | None) -> None:
    """Move what the grant has remaining to a rollover grant, spendable in ``[at, until)``."""
    rolled = Grant(
        id=uuid7(),
        source="rollover",
        amount=grant.remaining,
        remaining=0,
        held=0,
        priority=constants.ROLLOVER_PRIORITY,
        effective_at=at,
        expires_at=until,
        unit_price=grant.unit_price,
        feature_id=grant.feature_id,
        parent_id=grant.id,
    )
    said = TransactionDetails(description="Credits rolled over")
    draws = [GrantDelta(grant, -grant.remaining), GrantDelta(rolled, grant.remaining)]
    book.post("rollover", at, draws, said, opened=[rolled])


def enforce_rollover_cap(book: BalanceState, cap: int, at: datetime) -> None:
    """Expire the oldest rolled-over credits beyond ``cap``."""
    pool = [grant for grant in book.spendable() if grant.source == "rollover"]
    excess = sum(grant.remaining for grant in pool) - cap
    for grant in sorted(pool, key=lambda grant: (grant.effective_at, grant.id)):
        trimmed = min(excess, grant.remaining)
        if trimmed <= 0:
            return
        said = TransactionDetails(description="Rolled-over credits beyond the cap")
        book.post("expiry", at, [GrantDelta(grant, -trimmed)], said)
        excess -= trimmed
