"""Write the due events of balances that no operation touches."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from credits.engine.locked_balance import lock_balances
from fluxori.db.measured import measured
from fluxori.db.transactions import transaction_with_retry


@measured
@transaction_with_retry
def expire_credits(*, balance_ids: Collection[UUID], at: datetime, dry_run: bool = False) -> dict[str, int]:
    """Write what is due by ``at`` on these balances: lapsed holds, expired credits, rollovers and repaid debt.

    Nothing depends on it: an expired credit cannot be spent or shown from the instant it expires. It only records in
    the history what every read applies in memory. Balances with nothing due stay unchanged, so it can be repeated.
    Returns how many balances changed, how many transactions were written and how many credits left; with ``dry_run``
    how many would.

    :raises InvalidArgumentError: ``at`` has no time zone, or is more than five minutes ahead of the clock; a dry run
        accepts any instant
    """
    changed = written = expired = 0
    with lock_balances(balance_ids, at=at, may_be_ahead=dry_run) as balances:
        for balance in balances.values():
            state = balance.state
            if not state.transactions and not state.changed_holds:
                continue
            changed += 1
            written += len(state.transactions)
            expired -= sum(transaction.amount for transaction in state.transactions)
            if not dry_run:
                balance.mark_changed()
    return {"balances": changed, "transactions": written, "credits": expired}
