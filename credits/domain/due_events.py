"""Due events: what happens to a balance with time alone. Holds lapse; grants expire or roll over; credits repay debt.

``apply_due_events`` changes a balance state to what it is at an instant, without reading the database or the clock.
Operations write its transactions together with their own change, reads run it and write nothing, and the expiry job
writes it for balances that no operation touches, so that all three agree.
"""

from dataclasses import replace
from datetime import datetime

from credits.domain import burn_order, constants
from credits.domain.balance_state import BalanceState
from credits.domain.records import Grant, GrantDelta, TransactionDetails
from fluxori.core.ids import uuid7


def apply_due_events(state: BalanceState, at: datetime) -> None:
    """Apply everything that is due by ``at``, in order of time. At one instant holds lapse before grants expire.

    Each transaction is dated at the instant it fell due, not at ``at``. Intervals are half-open: what expires at ``at``
    is gone at ``at``. One call, or any number of calls with rising instants, gives the same transactions.
    """
    applied = None
    while (instant := next_due(state, at)) is not None:
        # An instant without progress would be an endless loop that holds the lock of the balance.
        assert applied is None or instant > applied, f"due events of {state.id} do not advance past {instant}"
        for hold in sorted((h for h in state.holds.values() if h.expires_at <= instant), key=lambda h: h.id):
            state.close_hold(hold, "lapsed", instant)
        ending = [g for g in state.spendable() if g.expires_at == instant and g.voided_at is None]
        _settle(state, instant, ending=ending)
        applied = instant


def normalize(state: BalanceState, at: datetime) -> None:
    """Restore the rules that a change at ``at`` may have broken: only spendable credits remain, and debt is repaid
    first.

    Due events must have been applied up to ``at``, so that credits of an expired or voided grant are credits that have
    just come back, from a refund or a hold. Those of a voided grant leave as ``void``. Those of an expired grant roll
    over as far as there is room under the grant's ``roll_cap``, and the rest leaves as ``expiry``. What remains then
    repays debt.

    Credits of a grant that was extended move on to a new grant with the expiry of its extension first.

    Credits that a reversal of their purchase has taken already, while they were used or pinned, repay debt instead.
    """
    _settle(state, at, ending=[])


def _settle(state: BalanceState, at: datetime, *, ending: list[Grant]) -> None:
    """Let the credits leave that cannot be spent at ``at``, and repay debt; the grants in ``ending`` end at ``at``.

    Grants that roll over at one instant share the largest of their caps.
    """
    _follow_extensions(state, at)
    ending_ids = {grant.id for grant in ending}
    for grant in state.spendable():
        if (grant.voided_at is None and not grant.expired(at)) or grant.id in ending_ids:
            continue
        _repay_reversed(state, grant, at)
        if grant.voided_at is None:
            _roll_over_or_expire(state, grant, at, rolled=_rollover_capacity(state, grant, at))
        elif grant.remaining > 0:
            details = TransactionDetails(description="Credits voided")
            state.post("void", at, [GrantDelta(grant, -grant.remaining)], details)
    caps = []
    for grant in burn_order.in_burn_order(ending):
        _repay_reversed(state, grant, at)
        cap = grant.roll_cap or 0
        if _roll_over_or_expire(state, grant, at, rolled=cap):
            caps.append(cap)
    if caps:
        # Only after all of them: a rolled-over grant that expires at this instant must not count toward the cap.
        enforce_rollover_cap(state, max(caps), at)
    if state.debt > 0:
        repay_debt(state, at)


def _follow_extensions(state: BalanceState, at: datetime) -> None:
    """Move credits that came back to a grant that was extended to a new copy with the terms of its extension.

    An extension leaves nothing on the grant, so all that remains there has come back: from a refund or a hold.
    """
    for grant in state.spendable():
        extension = state.extensions.get(grant.id)
        if extension is None or grant.voided_at is not None or extension.expired(at):
            continue
        copy = replace(
            extension,
            id=uuid7(),
            parent_id=grant.id,
            amount=grant.remaining,
            remaining=0,
            held=0,
            effective_at=at,
            transaction_id=None,
        )
        deltas = [GrantDelta(grant, -grant.remaining), GrantDelta(copy, grant.remaining)]
        state.post("adjustment", at, deltas, TransactionDetails(description="Expiry extended"), opened=[copy])
        if grant.id in state.purchases:
            state.purchases[copy.id] = state.purchases[grant.id]


def _repay_reversed(state: BalanceState, grant: Grant, at: datetime) -> None:
    """Repay debt with the credits of a grant that its purchase no longer has, before the others leave.

    A reversal takes used and pinned credits from other grants or as debt. If they come back to a grant that has expired
    or was voided since, they must not be lost a second time.
    """
    purchase = state.purchases.get(grant.id)
    if purchase is None:
        return
    lost = min(grant.remaining, purchase.amount)
    repaid = min(grant.remaining - lost, state.debt)
    purchase.amount -= lost
    if repaid > 0:
        deltas = [GrantDelta(grant, -repaid), GrantDelta(None, repaid)]
        state.post("reversal", at, deltas, TransactionDetails(description="Debt repaid"))


def repay_debt(state: BalanceState, at: datetime) -> None:
    """Repay debt from what remains: a ``reversal`` of amount 0, because the balance was reduced when the debt arose."""
    deltas = []
    owed = state.debt
    for grant in state.spendable():
        repaid = min(owed, grant.remaining)
        if repaid > 0:
            deltas.append(GrantDelta(grant, -repaid))
            owed -= repaid
    if deltas:
        deltas.append(GrantDelta(None, state.debt - owed))
        state.post("reversal", at, deltas, TransactionDetails(description="Debt repaid"))


def next_due(state: BalanceState, at: datetime) -> datetime | None:
    """Return the instant of the first event that is due by ``at``, or None."""
    due = [hold.expires_at for hold in state.holds.values() if hold.expires_at <= at]
    due += [g.expires_at for g in state.grants.values() if g.remaining > 0 and g.expires_at and g.expires_at <= at]
    return min(due, default=None)


def _rollover_capacity(state: BalanceState, grant: Grant, at: datetime) -> int:
    """Return how many credits that come back to an expired grant may still roll over: its cap, less what is there."""
    if grant.roll_cap is None or (grant.roll_until is not None and grant.roll_until <= at):
        return 0
    pool = [each for each in state.spendable() if each.source == "rollover"]
    rolled_over = sum(each.remaining for each in pool if each.voided_at is None and not each.expired(at))
    return max(grant.roll_cap - rolled_over, 0)


def _roll_over_or_expire(state: BalanceState, grant: Grant, at: datetime, *, rolled: int) -> bool:
    """Roll over up to ``rolled`` of the credits of an expired grant, expire the rest, and return whether any rolled
    over.
    """
    lost = grant.remaining - min(grant.remaining, rolled)
    if lost > 0:
        state.post("expiry", at, [GrantDelta(grant, -lost)], TransactionDetails(description="Credits expired"))
    if grant.remaining == 0:
        return False
    roll_over(state, grant, at, until=grant.roll_until)
    return True


def roll_over(state: BalanceState, grant: Grant, at: datetime, *, until: datetime | None) -> None:
    """Move what the grant has remaining to a new rollover grant, spendable in ``[at, until)``."""
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
    deltas = [GrantDelta(grant, -grant.remaining), GrantDelta(rolled, grant.remaining)]
    state.post("rollover", at, deltas, TransactionDetails(description="Credits rolled over"), opened=[rolled])


def enforce_rollover_cap(state: BalanceState, cap: int, at: datetime) -> None:
    """Expire the oldest rolled-over credits beyond ``cap``."""
    pool = [grant for grant in state.spendable() if grant.source == "rollover"]
    excess = sum(grant.remaining for grant in pool) - cap
    for grant in sorted(pool, key=lambda grant: (grant.effective_at, grant.id)):
        expired = min(excess, grant.remaining)
        if expired <= 0:
            return
        details = TransactionDetails(description="Rolled-over credits beyond the cap")
        state.post("expiry", at, [GrantDelta(grant, -expired)], details)
        excess -= expired
