import pytest

from credits import operations
from credits.verification import verify_balance
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import check_sums, unchanged
from tests.support.times import DAY, HOUR, NOON

pytestmark = pytest.mark.django_db


def suspend(balance, at=NOON, **said):
    return operations.suspend_spending(owner=balance.owner, at=at, **said)


def resume(balance, at=NOON, **said):
    return operations.resume_spending(owner=balance.owner, at=at, **said)


class TestSuspendSpending:
    def test_lets_nobody_spend_while_credits_still_arrive(self):
        balance = make_balance()

        after = suspend(balance, NOON + HOUR)

        assert (after.suspended_at, after.available) == (NOON + HOUR, 100)
        with unchanged(), pytest.raises(operations.SpendingSuspendedError) as refusal:
            deduct(balance, 1, at=NOON + HOUR)
        assert refusal.value.facts == {"suspended_at": NOON + HOUR}
        make_balance(balance.owner, at=NOON + HOUR)
        check_sums(balance)
        assert (balance.balance, verify_balance(balance.pk).differences) == (200, ())

    def test_keeps_who_asked_and_why(self):
        balance, actor = make_balance(), make_user()

        suspend(balance, actor=actor, reason="Card stolen")

        balance.refresh_from_db()
        assert (balance.suspension_actor, balance.suspension_reason) == (actor, "Card stolen")

    def test_takes_a_reason_of_at_most_500_characters(self):
        balance = make_balance()

        for verb in (suspend, resume):
            with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
                verb(balance, reason="x" * 501)
            assert [(fault.field, fault.code) for fault in refusal.value.errors] == [("reason", "too_long")]

    def test_with_another_reason_is_another_request(self):
        balance = make_balance()
        suspend(balance, reason="Card stolen", idempotency_key="k")

        with unchanged(), pytest.raises(operations.IdempotencyKeyReusedError):
            suspend(balance, reason="Chargeback", idempotency_key="k")

    def test_again_changes_nothing(self):
        balance = make_balance()
        suspend(balance)

        with unchanged():
            assert suspend(balance, NOON + HOUR).suspended_at == NOON

    def test_writes_what_had_fallen_due(self):
        balance = make_balance(grants=[(100, DAY)])

        after = suspend(balance, NOON + DAY)

        assert (after.balance, balance.transactions.latest("sequence").type) == (0, "expiry")
        check_sums(balance)

    def test_answers_the_same_key_as_it_did(self):
        balance = make_balance()
        first = suspend(balance, idempotency_key="k")
        resume(balance)

        with unchanged():
            assert suspend(balance, NOON + HOUR, idempotency_key="k") == first
        assert deduct(balance, 1).transaction.amount == -1

    def test_refuses_in_the_order_it_says(self):
        balance = make_balance()
        resume(balance, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.BalanceNotFoundError):
                operations.suspend_spending(owner=make_user(), idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                suspend(balance, idempotency_key="k")


class TestResumeSpending:
    def test_lets_the_balance_be_spent_from_again(self):
        balance = make_balance()
        suspend(balance)

        assert resume(balance, NOON + HOUR).suspended_at is None
        assert deduct(balance, 1, at=NOON + HOUR).transaction.amount == -1
        assert verify_balance(balance.pk).differences == ()

    def test_keeps_who_asked_and_why(self):
        balance, actor = make_balance(), make_user()
        suspend(balance, actor=make_user(), reason="Card stolen")

        resume(balance, actor=actor, reason="A new card")

        balance.refresh_from_db()
        assert (balance.suspension_actor, balance.suspension_reason) == (actor, "A new card")

    def test_of_one_that_is_not_suspended_changes_nothing(self):
        balance = make_balance()

        with unchanged():
            assert resume(balance).suspended_at is None

    def test_answers_the_same_key_as_it_did(self):
        balance = make_balance()
        suspend(balance)
        first = resume(balance, idempotency_key="k")
        suspend(balance, NOON + HOUR)

        with unchanged():
            assert resume(balance, NOON + HOUR, idempotency_key="k") == first
        balance.refresh_from_db()
        assert balance.suspended_at == NOON + HOUR

    def test_refuses_in_the_order_it_says(self):
        balance = make_balance()
        suspend(balance, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.BalanceNotFoundError):
                operations.resume_spending(owner=make_user(), idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                resume(balance, idempotency_key="k")
