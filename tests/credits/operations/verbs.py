"""Short calls of the verbs, so that a test names only the arguments that it is about.

Holds, transactions, grants and limits are passed as records or rows; both have an ``id``.
"""

from credits import operations
from credits.models import CreditBalance
from tests.support.factories.credits import make_balance, make_user
from tests.support.times import NOON
from tiers import operations as tiers


def add_credits(owner, amount=100, at=NOON, **terms):
    return operations.add_credits(owner=owner, amount=amount, at=at, **{"type": "purchase", **terms})


def deduct_feature(balance, feature="simple-ai-insight", at=NOON, **arguments):
    return operations.deduct_credits(owner=balance.owner, feature=feature, at=at, **arguments)


def place_hold(balance, amount=60, at=NOON, **arguments):
    return operations.place_hold(owner=balance.owner, amount=amount, description="Work", at=at, **arguments)


def capture_hold(hold, amount=None, at=NOON, **arguments):
    return operations.capture_hold(hold_id=hold.id, amount=amount, at=at, **arguments)


def release_hold(hold, at=NOON, **arguments):
    return operations.release_hold(hold_id=hold.id, at=at, **arguments)


def extend_hold(hold, seconds=3600, at=NOON, **arguments):
    return operations.extend_hold(hold_id=hold.id, expires_in_seconds=seconds, at=at, **arguments)


def refund_usage(usage, amount=None, at=NOON, reason="It failed", **arguments):
    return operations.refund_usage(transaction_id=usage.id, amount=amount, reason=reason, at=at, **arguments)


def reverse_purchase(purchase, amount=None, at=NOON, reason="Chargeback", **arguments):
    return operations.reverse_purchase(transaction_id=purchase.id, amount=amount, reason=reason, at=at, **arguments)


def void_grant(grant, at=NOON, reason="By mistake", **arguments):
    return operations.void_grant(grant_id=grant.id, reason=reason, at=at, **arguments)


def extend_grant(grant, expires_at, at=NOON, reason="We were down", **arguments):
    return operations.extend_grant(grant_id=grant.id, expires_at=expires_at, reason=reason, at=at, **arguments)


def adjust_credits(balance, amount, at=NOON, reason="Counted wrong", **arguments):
    return operations.adjust_credits(owner=balance.owner, amount=amount, reason=reason, at=at, **arguments)


def set_limit(balance, amount=100, period="day", at=NOON, **arguments):
    return operations.set_limit(owner=balance.owner, amount=amount, period=period, at=at, **arguments)


def remove_limit(limit, at=NOON, **arguments):
    return operations.remove_limit(limit_id=limit.id, at=at, **arguments)


def suspend_spending(balance, at=NOON, **arguments):
    return operations.suspend_spending(owner=balance.owner, at=at, **arguments)


def resume_spending(balance, at=NOON, **arguments):
    return operations.resume_spending(owner=balance.owner, at=at, **arguments)


def expire_credits(*balances, at, **arguments):
    return operations.expire_credits(balance_ids=[balance.pk for balance in balances], at=at, **arguments)


def subscribe(balance, tier="growth"):
    """Put a balance on a tier without an initial allocation."""
    tiers.initialize_balance(owner=balance.owner, tier=tier, initial_balance=0, at=NOON)


def change_tier(balance, tier="pro"):
    tiers.update_subscription_tier(owner=balance.owner, tier=tier, at=NOON)


def make_tier_balance(tier):
    """Return the balance of a new user on a tier, with the initial allocation of the tier."""
    user = make_user()
    tiers.initialize_balance(owner=user, tier=tier, at=NOON)
    return CreditBalance.objects.get(pk=user.pk)


def make_rich_balance(owner=None):
    """Return a balance that no deduction of these tests empties."""
    return make_balance(owner, grants=[(10_000, None)])


def first_transaction(balance):
    return balance.transactions.earliest("sequence")


def entry_amounts(transaction):
    """Return (grant id, credits) of each entry of a transaction; the grant id of debt is None."""
    return [(entry.grant_id, entry.amount) for entry in transaction.entries]


def remaining_of_grants(balance):
    """Return the remaining credits of each grant, the oldest grant first."""
    return list(balance.grants.order_by("pk").values_list("remaining", flat=True))


def remaining_and_held_of_grants(balance):
    """Return (remaining, held) of each grant, the oldest grant first."""
    return list(balance.grants.order_by("pk").values_list("remaining", "held"))


def transactions_after(balance, sequence):
    """Return (type, amount) of each transaction after one with this sequence number."""
    rows = balance.transactions.filter(sequence__gt=sequence).order_by("sequence")
    return list(rows.values_list("type", "amount"))
