import pytest

from credits import operations
from tests.credits.operations.verbs import resume_spending, suspend_spending
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import (
    captured_statements,
    check_balance,
    field_errors,
    statement_kinds,
    unchanged,
)
from tests.support.times import DAY, HOUR, NOON

pytestmark = pytest.mark.django_db


class TestSuspendSpending:
    def test_rejects_usage_but_accepts_new_credits(self):
        balance = make_balance()

        snapshot = suspend_spending(balance, NOON + HOUR)

        assert (snapshot.suspended_at, snapshot.available) == (NOON + HOUR, 100)
        with unchanged(), pytest.raises(operations.SpendingSuspendedError) as error:
            deduct(balance, 1, at=NOON + HOUR)
        assert error.value.facts == {"suspended_at": NOON + HOUR}
        make_balance(balance.owner, at=NOON + HOUR)
        check_balance(balance)
        assert balance.balance == 200

    def test_stores_the_actor_and_the_reason(self):
        balance, actor = make_balance(), make_user()

        suspend_spending(balance, actor=actor, reason="Card stolen")

        balance.refresh_from_db()
        assert (balance.suspension_actor, balance.suspension_reason) == (actor, "Card stolen")

    def test_changes_nothing_if_spending_is_suspended(self):
        balance = make_balance()
        suspend_spending(balance)

        with unchanged():
            assert suspend_spending(balance, NOON + HOUR).suspended_at == NOON

    def test_writes_due_expiries(self):
        balance = make_balance(grants=[(100, DAY)])

        snapshot = suspend_spending(balance, NOON + DAY)

        assert (snapshot.balance, balance.transactions.latest("sequence").type) == (0, "expiry")
        check_balance(balance)

    def test_runs_three_statements_lock_load_write(self):
        balance = make_balance()

        with captured_statements() as run:
            suspend_spending(balance, idempotency_key="k")

        assert statement_kinds(run) == ["lock", "load", "write"]

    def test_rejects_a_reason_of_more_than_500_characters(self):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            suspend_spending(balance, reason="x" * 501)

        assert field_errors(error) == [("reason", "too_long")]

    def test_raises_the_documented_errors_in_order(self):
        balance = make_balance()
        resume_spending(balance, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.suspend_spending(owner=make_user(), reason="x" * 501, idempotency_key="k", at=NOON)
            with pytest.raises(operations.BalanceNotFoundError):
                operations.suspend_spending(owner=make_user(), idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                suspend_spending(balance, idempotency_key="k")

    def test_returns_the_first_balance_for_the_same_key_after_spending_is_resumed(self):
        balance = make_balance()
        first = suspend_spending(balance, idempotency_key="k")
        resume_spending(balance)

        with unchanged():
            assert suspend_spending(balance, NOON + HOUR, idempotency_key="k") == first
        assert deduct(balance, 1).transaction.amount == -1

    def test_rejects_the_key_of_a_request_with_another_reason(self):
        balance = make_balance()
        suspend_spending(balance, reason="Card stolen", idempotency_key="k")

        with unchanged(), pytest.raises(operations.IdempotencyKeyReusedError):
            suspend_spending(balance, reason="Chargeback", idempotency_key="k")


class TestResumeSpending:
    def test_accepts_usage_again(self):
        balance = make_balance()
        suspend_spending(balance)

        assert resume_spending(balance, NOON + HOUR).suspended_at is None
        assert deduct(balance, 1, at=NOON + HOUR).transaction.amount == -1
        check_balance(balance)

    def test_stores_the_actor_and_the_reason(self):
        balance, actor = make_balance(), make_user()
        suspend_spending(balance, actor=make_user(), reason="Card stolen")

        resume_spending(balance, actor=actor, reason="A new card")

        balance.refresh_from_db()
        assert (balance.suspension_actor, balance.suspension_reason) == (actor, "A new card")

    def test_changes_nothing_if_spending_is_not_suspended(self):
        balance = make_balance()

        with unchanged():
            assert resume_spending(balance).suspended_at is None

    @pytest.mark.parametrize(("suspended", "kinds"), [(True, ["lock", "load", "write"]), (False, ["lock", "load"])])
    def test_writes_only_if_spending_is_suspended_and_reads_no_tier_facts(self, suspended, kinds):
        balance = make_balance()
        if suspended:
            suspend_spending(balance)

        with captured_statements() as run:
            resume_spending(balance)

        assert statement_kinds(run) == kinds

    def test_rejects_a_reason_of_more_than_500_characters(self):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            resume_spending(balance, reason="x" * 501)

        assert field_errors(error) == [("reason", "too_long")]

    def test_raises_the_documented_errors_in_order(self):
        balance = make_balance()
        suspend_spending(balance, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.BalanceNotFoundError):
                operations.resume_spending(owner=make_user(), idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                resume_spending(balance, idempotency_key="k")

    def test_returns_the_first_balance_for_the_same_key_after_spending_is_suspended_again(self):
        balance = make_balance()
        suspend_spending(balance)
        first = resume_spending(balance, idempotency_key="k")
        suspend_spending(balance, NOON + HOUR)

        with unchanged():
            assert resume_spending(balance, NOON + HOUR, idempotency_key="k") == first
        balance.refresh_from_db()
        assert balance.suspended_at == NOON + HOUR
