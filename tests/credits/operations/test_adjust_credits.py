import pytest

from credits import operations
from credits.models import CreditGrant
from tests.credits.operations.verbs import (
    adjust_credits,
    change_tier,
    first_transaction,
    remaining_of_grants,
    reverse_purchase,
    subscribe,
    suspend_spending,
)
from tests.support.factories.credits import deduct, hold, make_balance, make_user
from tests.support.operations import (
    captured_statements,
    check_balance,
    check_replay,
    field_errors,
    statement_kinds,
    unchanged,
)
from tests.support.times import DAY, NOON

MAXIMUM = 10**12

pytestmark = pytest.mark.django_db


class TestAdjustCredits:
    def test_adds_a_positive_amount_as_a_new_grant(self):
        balance = make_balance()

        result = adjust_credits(balance, 25)

        grant = CreditGrant.objects.get(transaction=result.transaction.id)
        assert (grant.source, grant.amount, grant.remaining, grant.expires_at) == ("adjustment", 25, 25, None)
        recorded = result.transaction
        assert (recorded.type, recorded.amount, recorded.details.reason) == ("adjustment", 25, "Counted wrong")
        assert result.balance.available == 125
        check_balance(balance)

    def test_repays_debt_first_with_a_positive_amount(self):
        balance = make_balance(type="purchase")
        deduct(balance, 100)
        reverse_purchase(first_transaction(balance), 30)

        assert adjust_credits(balance, 50).balance.available == 20
        check_balance(balance)

    def test_takes_a_negative_amount_in_burn_order(self):
        balance = make_balance(grants=[(50, None), (20, DAY)])

        result = adjust_credits(balance, -30)

        assert (result.transaction.amount, remaining_of_grants(balance)) == (-30, [40, 0])
        check_balance(balance)

    def test_never_takes_held_credits_and_never_makes_debt(self):
        balance = make_balance()
        hold(balance, 60)

        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as error:
            adjust_credits(balance, -41)

        assert error.value.facts == {"required": 41, "available": 40, "held": 60, "shortfall": 1}
        assert adjust_credits(balance, -40).balance.available == 0
        check_balance(balance)

    def test_takes_a_negative_amount_while_spending_is_suspended(self):
        balance = make_balance()
        suspend_spending(balance)

        assert adjust_credits(balance, -100).balance.balance == 0

    @pytest.mark.parametrize("amount", [5, -5])
    def test_runs_four_statements_lock_load_tier_facts_write(self, amount):
        balance = make_balance()

        with captured_statements() as run:
            adjust_credits(balance, amount, idempotency_key="k")

        assert statement_kinds(run) == ["lock", "load", "tier facts", "write"]

    @pytest.mark.parametrize(
        ("amount", "code"),
        [
            (0, "out_of_range"),
            (MAXIMUM + 1, "out_of_range"),
            (-MAXIMUM - 1, "out_of_range"),
            (0.0, "wrong_type"),
            (False, "wrong_type"),
            (None, "wrong_type"),
        ],
    )
    def test_rejects_an_invalid_amount(self, amount, code):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            adjust_credits(balance, amount)

        assert field_errors(error) == [("amount", code)]

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 501, None])
    def test_rejects_a_missing_or_long_reason(self, reason):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            adjust_credits(balance, 5, reason=reason)

    def test_raises_the_documented_errors_in_order(self):
        balance = make_balance()
        adjust_credits(balance, 1, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.adjust_credits(owner=make_user(), amount=0, reason="r", at=NOON)
            with pytest.raises(operations.BalanceNotFoundError):
                operations.adjust_credits(owner=make_user(), amount=1, reason="r", idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                adjust_credits(balance, -1000, idempotency_key="k")
            with pytest.raises(operations.InsufficientCreditsError):
                adjust_credits(balance, -1000)

    @pytest.mark.parametrize("amount", [30, -30])
    def test_returns_the_first_result_for_the_same_key_after_the_balance_and_the_tier_changed(self, amount):
        balance = make_balance()
        subscribe(balance, "growth")
        first = adjust_credits(balance, amount, idempotency_key="k")
        deduct(balance, 60)
        change_tier(balance, "pro")

        with unchanged():
            repeated = adjust_credits(balance, amount, idempotency_key="k", at=NOON + DAY)

        check_replay(first, repeated)
        assert repeated.tier_facts.tier == "growth"


class TestAdjustCreditsTerms:
    def test_added_credits_take_an_expiry_and_a_priority(self):
        balance = make_balance()

        result = adjust_credits(balance, 30, expires_at=NOON + DAY, priority=7)

        assert (result.grant.source, result.grant.expires_at, result.grant.priority) == ("adjustment", NOON + DAY, 7)
        assert result.balance.next_expiry == (30, NOON + DAY)
        check_balance(balance)

    @pytest.mark.parametrize("terms", [{"expires_at": NOON + DAY}, {"priority": 7}])
    def test_credits_that_are_taken_have_no_terms(self, terms):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            adjust_credits(balance, -30, **terms)

        assert field_errors(error) == [(next(iter(terms)), "invalid_choice")]

    @pytest.mark.parametrize(
        ("terms", "expected"),
        [
            ({"expires_at": NOON}, ("expires_at", "in_past")),
            ({"expires_at": "soon"}, ("expires_at", "wrong_type")),
            ({"priority": 101}, ("priority", "out_of_range")),
        ],
    )
    def test_invalid_terms_are_rejected(self, terms, expected):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as error:
            adjust_credits(balance, 30, **terms)

        assert field_errors(error) == [expected]


class TestGrantOfAResult:
    def test_is_the_grant_that_was_created(self):
        balance = make_balance()

        result = operations.add_credits(owner=balance.owner, amount=40, type="purchase", idempotency_key="k", at=NOON)
        repeated = operations.add_credits(owner=balance.owner, amount=40, type="purchase", idempotency_key="k", at=NOON)

        assert result.grant is not None
        assert (result.grant.amount, result.grant.remaining) == (40, 40)
        assert balance.grants.filter(pk=result.grant.id).exists()
        assert repeated.grant == result.grant

    def test_is_there_where_debt_takes_all(self):
        balance = make_balance(type="purchase")
        deduct(balance, 100)
        reverse_purchase(first_transaction(balance))

        result = operations.add_credits(owner=balance.owner, amount=40, type="promotion", at=NOON)

        assert result.grant is not None
        assert (result.grant.amount, result.grant.remaining, result.balance.debt) == (40, 0, 60)
        assert [entry.grant_id for entry in result.transaction.entries] == [None]

    def test_is_none_without_a_new_grant(self):
        assert deduct(make_balance(), 1).grant is None
