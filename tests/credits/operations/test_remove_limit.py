import pytest

from credits import operations
from credits.models import SpendingLimit
from fluxori.core.ids import uuid7
from tests.credits.operations.limits import used_of_limits
from tests.credits.operations.verbs import make_rich_balance, remove_limit, set_limit
from tests.support.factories.credits import deduct
from tests.support.operations import captured_statements, check_balance, check_replay, statement_kinds, unchanged
from tests.support.times import DAY, HOUR, NOON

pytestmark = pytest.mark.django_db


class TestRemoveLimit:
    def test_allows_usage_above_the_removed_limit(self):
        balance = make_rich_balance()
        limit = set_limit(balance, 10).limit

        result = remove_limit(limit, at=NOON + HOUR)

        assert result.limit.id == limit.id
        deduct(balance, 500, at=NOON + HOUR)
        assert SpendingLimit.objects.get().removed_at == NOON + HOUR
        assert used_of_limits(balance) == []
        check_balance(balance)

    def test_allows_a_new_limit_that_counts_the_usage_of_the_window(self):
        balance = make_rich_balance()
        first = set_limit(balance).limit
        deduct(balance, 40)
        remove_limit(first)
        deduct(balance, 50)

        second = set_limit(balance).limit

        assert second.id != first.id
        assert second.used == 90
        check_balance(balance)

    def test_ends_with_lock_load_write(self):
        limit = set_limit(make_rich_balance()).limit

        with captured_statements() as run:
            remove_limit(limit)

        kinds = statement_kinds(run)
        assert kinds[kinds.index("lock") :] == ["lock", "load", "write"]

    def test_raises_the_documented_errors_in_order(self):
        balance = make_rich_balance()
        other, limit = set_limit(balance, period="month").limit, set_limit(balance).limit
        remove_limit(limit, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.LimitNotFoundError):
                operations.remove_limit(limit_id=uuid7(), idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                remove_limit(other, idempotency_key="k")
            with pytest.raises(operations.LimitNotFoundError):
                remove_limit(limit)

    def test_returns_the_first_result_for_the_same_key_after_a_new_limit_is_set(self):
        balance = make_rich_balance()
        limit = set_limit(balance).limit
        deduct(balance, 40)
        first = remove_limit(limit, idempotency_key="k")
        set_limit(balance)

        with unchanged():
            repeated = remove_limit(limit, idempotency_key="k", at=NOON + DAY)

        check_replay(first, repeated)
        assert repeated.limit.used == 40
