import pytest

from credits import operations
from credits.models import CreditRequest, FeaturePrice
from tests.credits.operations.verbs import change_tier, deduct_feature, subscribe, suspend_spending
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import captured_statements, check_replay, statement_kinds, unchanged
from tests.support.times import DAY, HOUR, NOON

pytestmark = pytest.mark.django_db


class TestDeductCreditsRetries:
    def test_returns_the_first_result_for_the_same_key(self):
        balance = make_balance()
        first = deduct(balance, 30, idempotency_key="k")

        with unchanged():
            repeated = deduct(balance, 30, idempotency_key="k", at=NOON + DAY)

        check_replay(first, repeated)
        assert [entry.amount for entry in repeated.transaction.entries] == [-30]

    def test_returns_the_first_result_after_the_credits_are_used_up(self):
        balance = make_balance(grants=[(30, DAY), (70, None)])
        first = deduct(balance, 40, idempotency_key="k")
        deduct(balance, 60)

        with unchanged():
            repeated = deduct(balance, 40, idempotency_key="k", at=NOON + 9 * DAY)

        check_replay(first, repeated)
        assert repeated.balance.available == 60

    def test_returns_the_first_result_while_spending_is_suspended(self):
        balance = make_balance()
        first = deduct(balance, 40, idempotency_key="k")
        suspend_spending(balance)

        check_replay(first, deduct(balance, 40, idempotency_key="k"))

    def test_returns_the_first_price_after_the_price_changed(self):
        balance = make_balance()
        first = deduct_feature(balance, idempotency_key="k")
        FeaturePrice.objects.create(feature_id="simple-ai-insight", credits=11, effective_from=NOON + HOUR)

        repeated = deduct_feature(balance, idempotency_key="k", at=NOON + HOUR)

        check_replay(first, repeated)
        assert repeated.transaction.amount == -9

    def test_returns_the_tier_facts_of_the_first_call_after_the_tier_changed(self):
        balance = make_balance()
        subscribe(balance, "growth")
        first = deduct(balance, 1, idempotency_key="k")
        change_tier(balance, "pro")

        repeated = deduct(balance, 1, idempotency_key="k")

        assert first.tier_facts.tier == "growth"
        assert repeated.tier_facts == first.tier_facts
        assert deduct(balance, 1).tier_facts.tier == "pro"

    @pytest.mark.parametrize(
        "difference",
        [
            {"amount": 31},
            {"description": "Something else"},
            {"reference_id": "another"},
            {"metadata": {}},
            {"amount": None, "feature": "simple-ai-insight"},
        ],
    )
    def test_rejects_the_key_of_a_different_request(self, difference):
        balance = make_balance()
        deduct(balance, 30, idempotency_key="k")

        with unchanged(), pytest.raises(operations.IdempotencyKeyReusedError):
            deduct(balance, **{"amount": 30, "idempotency_key": "k", **difference})

    def test_rejects_the_key_for_another_member(self):
        balance = make_balance()
        deduct(balance, 30, idempotency_key="k", member=make_user())

        with unchanged(), pytest.raises(operations.IdempotencyKeyReusedError):
            deduct(balance, 30, idempotency_key="k", member=make_user())

    def test_rejects_the_key_of_another_operation(self):
        balance = make_balance(idempotency_key="k")

        with unchanged(), pytest.raises(operations.IdempotencyKeyReusedError):
            deduct(balance, 100, idempotency_key="k")

    def test_keeps_the_keys_of_each_caller_apart(self):
        balance, one, other = make_balance(), make_user(), make_user()

        transaction_ids = {
            deduct(balance, 10, actor=actor, idempotency_key="k").transaction.id for actor in (None, one, other)
        }

        assert len(transaction_ids) == 3

    def test_does_not_store_the_key_of_a_rejected_request(self):
        balance = make_balance(grants=[(10, None)])
        with pytest.raises(operations.InsufficientCreditsError):
            deduct(balance, 30, idempotency_key="k")
        assert not CreditRequest.objects.exists()
        make_balance(balance.owner, grants=[(20, None)])

        assert deduct(balance, 30, idempotency_key="k").replayed is False

    def test_runs_no_write_for_a_replay(self):
        balance = make_balance()
        deduct_feature(balance, idempotency_key="k")

        with captured_statements() as run:
            deduct_feature(balance, idempotency_key="k")

        assert statement_kinds(run) == [
            "lock",
            "load",
            "read credits_credittransaction",
            "read credits_creditentry",
            "read credits_creditgrant",
        ]

    def test_names_the_balance_in_every_statement_of_a_replay(self):
        balance = make_balance()
        deduct_feature(balance, idempotency_key="k")

        with captured_statements() as run:
            deduct_feature(balance, idempotency_key="k")

        spellings = (str(balance.pk), balance.pk.hex)
        assert [sql for sql in run if not any(spelling in sql for spelling in spellings)] == []
