from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from credits.engine.locked_balance import lock_balances
from fluxori.db.transactions import whole


@whole
def expire_credits(*, balance_ids: Collection[UUID], at: datetime, dry_run: bool = False) -> dict[str, int]:
    """Write what has fallen due by ``at`` on these balances: lapsed holds, expired credits, rollovers, repaid debt.

    Nobody has to wait for it: an expired credit cannot be spent or shown from the instant it expires. It only puts
    in the history what every read already says. Balances with nothing due are left as they are, so it can be repeated.
    Returns how many balances changed, how many transactions were written, and how many credits left; with ``dry_run``
    how many would, writing nothing.
    """
    changed = written = expired = 0
    with lock_balances(balance_ids, at=at) as pages:
        for page in pages.values():
            if not page.book.transactions and not page.book.changed_holds:
                continue
            changed += 1
            written += len(page.book.transactions)
            expired -= sum(recorded.amount for recorded in page.book.transactions)
            if not dry_run:
                page.touch()
    return {"balances": changed, "transactions": written, "credits": expired}
