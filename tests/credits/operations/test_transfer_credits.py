"""Transfers: what arrives, what is refused, retries, contention, and the rules of verification."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from credits import operations, queries
from credits.domain import errors
from credits.domain.errors import InvalidArgumentError
from credits.models import CreditTransaction
from credits.verification import verify_balance
from fluxori.core import clock
from tests.support.factories.credits import deduct, hold, make_balance, make_user, owe
from tests.support.factories.tiers import make_capped_tier, make_subscribed_balance, month
from tests.support.falsification import falsify
from tests.support.operations import check_balance, check_replay, check_sums, field_errors, unchanged
from tests.support.threads import run_concurrently
from tests.support.times import DAY, HOUR, MINUTE, NOON

pytestmark = pytest.mark.django_db


def transfer(source, target, amount, at=NOON, **arguments):
    return operations.transfer_credits(
        source=source.owner, target=target.owner, amount=amount, at=at, **{"reason": "A new employer", **arguments}
    )


def empty_balance():
    return make_subscribed_balance(initial_balance=0)


def grants_of(balance):
    rows = balance.grants.order_by("id").values_list("source", "remaining", "expires_at", "unit_price", "roll_cap")
    return list(rows)


class TestTransferCredits:
    def test_moves_credits_in_burn_order_with_their_terms(self):
        source, target = make_balance(grants=[(20, DAY)]), empty_balance()
        operations.add_credits(
            owner=source.owner, amount=50, type="purchase", unit_price=Decimal("0.5"), priority=60, at=NOON
        )

        result = transfer(source, target, 30)

        assert (result.source.balance.balance, result.target.balance.balance) == (40, 30)
        assert grants_of(target) == [
            ("promotion", 20, NOON + DAY, None, None),
            ("purchase", 10, None, Decimal("0.5"), None),
        ]
        check_balance(source)
        check_balance(target)

    def test_links_both_transactions(self):
        source, target = make_balance(), make_balance()

        result = transfer(source, target, 30, at=NOON + HOUR)

        sent, received = result.source.transaction, result.target.transaction
        assert (sent.type, sent.amount, received.type, received.amount) == ("transfer", -30, "transfer", 30)
        assert (sent.details.counterpart_id, received.details.counterpart_id) == (received.id, sent.id)
        assert sent.timestamp == received.timestamp == NOON + HOUR
        assert sent.details.reason == received.details.reason == "A new employer"

    def test_both_transactions_have_the_instant_of_the_later_balance(self):
        source, target = make_balance(), make_balance(at=NOON + HOUR)

        result = transfer(source, target, 30, at=NOON)

        assert result.source.transaction.timestamp == result.target.transaction.timestamp == NOON + HOUR

    def test_credits_lose_their_rollover(self):
        source, target = make_subscribed_balance(tier=make_capped_tier(cap=50).code), empty_balance()

        transfer(source, target, 30)

        assert grants_of(target) == [("allocation", 30, month(1), None, None)]
        with clock.fixed(month(1)):
            operations.expire_credits(balance_ids=[target.pk], at=month(1))
            assert queries.get_balance(owner=target.owner).balance == 0

    def test_repays_the_debt_of_the_target_first(self):
        source, target = make_balance(), make_balance(grants=[(10, None)])
        owe(target, 25)

        result = transfer(source, target, 20)

        assert (result.target.balance.debt, result.target.balance.available) == (0, 5)
        check_sums(target)

    def test_can_be_transferred_back(self):
        source, target = make_balance(grants=[(100, DAY)]), empty_balance()
        transfer(source, target, 30)

        transfer(target, source, 30)

        assert queries.get_balance(owner=source.owner, at=NOON).available == 100
        assert grants_of(source) == [
            ("promotion", 70, NOON + DAY, None, None),
            ("promotion", 30, NOON + DAY, None, None),
        ]
        check_balance(source)
        check_balance(target)

    def test_counts_toward_no_limit(self):
        source, target = make_balance(), make_balance()
        operations.set_limit(owner=source.owner, amount=5, period="day", at=NOON)

        transfer(source, target, 30)

        [limit] = queries.limit_statuses(queries.get_limits(owner=source.owner), at=NOON)
        assert limit.used == 0

    def test_a_purchase_that_was_transferred_is_reversed_from_its_buyer(self):
        source, target = make_balance(type="purchase"), empty_balance()
        transfer(source, target, 60)

        purchase = source.transactions.get(sequence=1)
        result = operations.reverse_purchase(transaction_id=purchase.pk, reason="Chargeback", at=NOON)

        assert (result.balance.available, result.balance.debt) == (0, 60)
        check_balance(source)


class TestRefusals:
    def test_rejects_invalid_arguments(self):
        source, target = make_balance(), make_balance()

        with unchanged(), pytest.raises(InvalidArgumentError) as caught:
            transfer(source, target, 0, reason="")

        assert field_errors(caught) == [("reason", "required"), ("amount", "out_of_range")]

    def test_rejects_a_transfer_to_itself(self):
        source = make_balance()

        with unchanged(), pytest.raises(errors.TransferToSelfError):
            transfer(source, source, 1)

    @pytest.mark.parametrize("missing", ["source", "target"])
    def test_rejects_an_owner_without_a_balance(self, missing):
        owners: dict[str, Any] = {"source": make_balance().owner, "target": make_balance().owner, missing: make_user()}

        with unchanged(), pytest.raises(errors.BalanceNotFoundError):
            operations.transfer_credits(**owners, amount=1, reason="Moved", at=NOON)

    @pytest.mark.parametrize("suspended", [0, 1])
    def test_rejects_a_suspended_balance(self, suspended):
        source, target = make_balance(), make_balance()
        operations.suspend_spending(owner=(source, target)[suspended].owner, reason="Fraud", at=NOON)

        with unchanged(), pytest.raises(errors.SpendingSuspendedError):
            transfer(source, target, 1)

    def test_rejects_more_than_is_available_and_pinned_credits(self):
        source, target = make_balance(), make_balance()
        hold(source, 60)

        with unchanged(), pytest.raises(errors.InsufficientCreditsError) as caught:
            transfer(source, target, 41)

        assert caught.value.facts == {"required": 41, "available": 40, "held": 60, "shortfall": 1}

    def test_rejects_credits_that_have_expired(self):
        source, target = make_balance(grants=[(100, HOUR)]), make_balance()

        with unchanged(), pytest.raises(errors.InsufficientCreditsError):
            transfer(source, target, 1, at=NOON + HOUR)


class TestRetry:
    def test_returns_the_first_result(self):
        source, target = make_balance(), make_balance()
        first = transfer(source, target, 30, idempotency_key="k")
        deduct(source, 70, at=NOON + MINUTE)
        deduct(target, 130, at=NOON + MINUTE)

        with unchanged():
            repeated = transfer(source, target, 30, idempotency_key="k", at=NOON + HOUR)

        check_replay(first.source, repeated.source)
        check_replay(first.target, repeated.target)
        assert repeated.replayed

    def test_the_key_belongs_to_the_source(self):
        source, target = make_balance(), make_balance()
        transfer(source, target, 30, idempotency_key="k")

        deduct(target, 1, idempotency_key="k")

        with pytest.raises(errors.IdempotencyKeyReusedError):
            deduct(source, 1, idempotency_key="k")
        check_balance(target)


@pytest.mark.django_db(transaction=True)
class TestContention:
    def test_opposite_transfers_do_not_deadlock_and_lose_nothing(self):
        one, two = make_balance(), make_balance()

        results = run_concurrently(
            [lambda: transfer(one, two, 30), lambda: transfer(two, one, 10), lambda: transfer(one, two, 70)] * 2
        )

        moved = [result for result in results if not isinstance(result, str)]
        assert {result for result in results if isinstance(result, str)} <= {"insufficient_credits"}
        assert len(moved) >= 4
        balances = [queries.get_balance(owner=balance.owner).balance for balance in (one, two)]
        assert sum(balances) == 200
        check_balance(one)
        check_balance(two)

    def test_duplicates_take_effect_once(self):
        source, target = make_balance(), make_balance()

        results = run_concurrently([lambda: transfer(source, target, 30, idempotency_key="k")] * 3)

        assert sorted(result.replayed for result in results) == [False, True, True]
        assert CreditTransaction.objects.filter(type="transfer").count() == 2


class TestVerification:
    @pytest.mark.parametrize(
        ("changed", "rules"),
        [
            ("timestamp = timestamp + interval '1 second'", {"transfer_matches_counterpart"}),
            ("counterpart_id = gen_random_uuid()", {"transfer_matches_counterpart"}),
        ],
    )
    def test_reports_a_transaction_that_does_not_match_its_counterpart(self, changed, rules):
        source, target = make_balance(), empty_balance()
        sent = transfer(source, target, 30).source.transaction

        falsify(SimpleNamespace(id=sent.id), f"UPDATE credits_credittransaction SET {changed} WHERE id = %(id)s")

        found = {each.rule for each in verify_balance(source.pk).differences}
        assert rules <= found
        assert "hash_matches_row" in found
        assert rules <= {each.rule for each in verify_balance(target.pk).differences}

    def test_reports_a_grant_that_arrived_with_other_terms(self):
        source, target = make_balance(grants=[(100, DAY)]), empty_balance()
        transfer(source, target, 30)

        falsify(
            SimpleNamespace(id=target.pk), "UPDATE credits_creditgrant SET expires_at = NULL WHERE balance_id = %(id)s"
        )

        found = {each.rule for each in verify_balance(target.pk).differences}
        assert found == {"transferred_grants_keep_their_terms", "hash_matches_row"}
