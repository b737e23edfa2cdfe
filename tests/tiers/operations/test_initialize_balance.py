from typing import Any

import pytest

from credits import operations as ledger
from credits import queries
from credits.models import CreditBalance
from fluxori.core.errors import DomainError
from fluxori.identity.owner import Owner
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.identity import OrganizationFactory
from tests.support.factories.tiers import (
    make_expiring_tier,
    make_subscribed_balance,
    month,
    periods_of,
    subscription_of,
)
from tests.support.tier_tables import assert_nothing_written, check_ledger
from tests.support.times import DAY, NOON, SECOND
from tiers import operations
from tiers.operations import initialize_balance

pytestmark = pytest.mark.django_db


def faults_of(error):
    return [(error.field, error.code) for error in error.value.errors]


class TestInitializeBalance:
    def test_opens_the_balance_with_the_monthly_credits(self):
        owner = make_user()

        result = initialize_balance(owner=owner, tier="growth", at=NOON)

        assert result.transaction is not None
        assert (result.balance.balance, result.balance.available, result.balance.version) == (2000, 2000, 1)
        assert (result.transaction.type, result.transaction.amount, result.transaction.timestamp) == (
            "allocation",
            2000,
            NOON,
        )
        assert result.transaction.details.description == "Initial Growth: 3 March 2025 to 3 April 2025"
        assert result.tier_facts.to_json() == {
            "tier": "growth",
            "pending_tier": None,
            "next_allocation_at": month(1).isoformat(),
            "paused_at": None,
        }
        assert queries.get_balance(owner=owner).balance == 2000
        check_ledger()

    def test_accepts_an_organization(self):
        pool = OrganizationFactory.create()

        result = initialize_balance(owner=pool, tier="pro", at=NOON)

        assert (result.balance.organization_id, result.balance.user_id, result.balance.balance) == (pool.pk, None, 7000)

    def test_anchor_is_the_instant_of_the_operation(self):
        begun = subscription_of(make_subscribed_balance(at=NOON + SECOND))

        assert (begun.anchor, begun.next_period, begun.next_allocation_at) == (
            NOON + SECOND,
            1,
            month(1, NOON + SECOND),
        )
        assert (begun.changes, begun.scheduled_tier, begun.scheduled_at) == (0, None, None)

    def test_initial_allocation_is_not_a_monthly_allocation(self):
        assert periods_of(make_subscribed_balance()) == []

    def test_grants_the_initial_balance(self):
        result = initialize_balance(owner=make_user(), tier="pro", initial_balance=1, at=NOON)

        assert result.transaction is not None
        assert (result.balance.balance, result.transaction.amount) == (1, 1)

    def test_initial_balance_may_be_0(self):
        owner = make_user()

        result = initialize_balance(owner=owner, tier="pro", initial_balance=0, at=NOON)

        assert result.transaction is None
        assert (result.balance.balance, result.balance.sequence, result.balance.version) == (0, 0, 1)
        assert result.tier_facts.tier == "pro"
        assert list(queries.get_transaction_history(owner=owner)) == []

    def test_subscribes_a_balance_without_a_tier(self):
        bought = make_balance(grants=[(50, None)], type="purchase")

        result = initialize_balance(owner=bought.owner, tier="explorer", at=NOON + DAY)

        assert result.transaction is not None
        assert (result.balance.balance, result.transaction.amount, result.transaction.sequence) == (450, 400, 2)
        assert subscription_of(bought).anchor == NOON + DAY

    def test_credits_of_an_unlimited_tier_never_expire(self):
        assert make_subscribed_balance(tier="explorer").grants.get().expires_at is None

    @pytest.mark.parametrize(("arguments", "given"), [({}, 100), ({"initial_balance": 7}, 7)])
    def test_credits_of_a_none_policy_expire_with_the_period(self, arguments, given):
        make_expiring_tier()

        balance = make_subscribed_balance(tier="fleeting", **arguments)

        assert balance.grants.get().expires_at == month(1)
        assert queries.get_balance(owner=balance.owner, at=month(1) - SECOND).available == given
        assert queries.get_balance(owner=balance.owner, at=month(1)).available == 0

    def test_anchor_is_at_least_the_last_change_of_the_balance(self):
        ahead = make_balance(grants=[(50, None)], at=NOON + DAY)

        initialize_balance(owner=ahead.owner, tier="explorer", at=NOON)

        assert subscription_of(ahead).anchor == NOON + DAY

    def test_stores_the_actor(self):
        staff = make_user()

        result = initialize_balance(owner=make_user(), tier="pro", actor=staff, idempotency_key="first", at=NOON)

        assert result.transaction is not None
        assert (result.transaction.details.actor_id, result.transaction.details.idempotency_key) == (staff.pk, "first")


class TestInitializeBalanceRepeated:
    def test_is_rejected_and_writes_nothing(self):
        balance = make_subscribed_balance()

        with assert_nothing_written(), pytest.raises(ledger.BalanceExistsError) as error:
            initialize_balance(owner=balance.owner, tier="pro", at=NOON + DAY)

        assert error.value.code == "balance_exists"

    @pytest.mark.parametrize(("initial_balance", "moved"), [(None, True), (0, False)])
    def test_replays_the_first_result_for_the_same_key(self, initial_balance, moved):
        owner = make_user()
        arguments: dict[str, Any] = {
            "owner": owner,
            "tier": "growth",
            "initial_balance": initial_balance,
            "idempotency_key": "once",
        }
        first = initialize_balance(**arguments, at=NOON)
        make_balance(owner, at=NOON + DAY)
        deduct(CreditBalance.objects.get(pk=owner.pk), 10, at=NOON + DAY)
        operations.update_subscription_tier(owner=owner, tier="pro", at=NOON + DAY)

        with assert_nothing_written():
            repeated = initialize_balance(**arguments, at=NOON + 2 * DAY)

        assert (first.replayed, repeated.replayed) == (False, True)
        assert (repeated.balance, repeated.tier_facts) == (first.balance, first.tier_facts)
        assert repeated.transaction == first.transaction
        assert (repeated.transaction is not None) == moved


class TestInitializeBalanceRejects:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({"tier": ""}, ("tier", "required")),
            ({"tier": "x" * 65}, ("tier", "too_long")),
            ({"tier": "pro\x00"}, ("tier", "wrong_type")),
            ({"tier": None}, ("tier", "wrong_type")),
            ({"initial_balance": -1}, ("initial_balance", "out_of_range")),
            ({"initial_balance": 10**12 + 1}, ("initial_balance", "out_of_range")),
            ({"initial_balance": True}, ("initial_balance", "wrong_type")),
            ({"initial_balance": 9.0}, ("initial_balance", "wrong_type")),
            ({"initial_balance": "9"}, ("initial_balance", "wrong_type")),
            ({"idempotency_key": "x" * 256}, ("idempotency_key", "key_too_long")),
            ({"idempotency_key": ""}, ("idempotency_key", "wrong_type")),
        ],
    )
    def test_invalid_arguments(self, arguments, expected):
        owner = make_user()

        with assert_nothing_written(), pytest.raises(ledger.InvalidArgumentError) as error:
            initialize_balance(**{"owner": owner, "tier": "pro", "at": NOON, **arguments})

        assert faults_of(error) == [expected]

    def test_an_unknown_tier_without_opening_the_balance(self):
        owner = make_user()

        with assert_nothing_written(), pytest.raises(operations.TierNotFoundError) as error:
            initialize_balance(owner=owner, tier="platinum", at=NOON)

        assert error.value.facts == {"tier": "platinum"}
        assert not CreditBalance.objects.filter(pk=owner.pk).exists()

    def test_a_user_with_the_id_of_an_organization(self):
        pool = make_subscribed_balance(OrganizationFactory.create())

        with assert_nothing_written(), pytest.raises(ledger.BalanceNotFoundError):
            initialize_balance(owner=Owner.user(pool.pk), tier="pro", at=NOON)

    def test_errors_in_the_documented_order(self):
        balance = make_subscribed_balance()
        make_balance(balance.owner, idempotency_key="taken")
        call: dict[str, Any] = {
            "owner": balance.owner,
            "at": NOON,
            "tier": "no-such",
            "idempotency_key": "taken",
            "initial_balance": -1,
        }
        corrections: list[tuple[dict[str, Any], type[DomainError]]] = [
            ({}, ledger.InvalidArgumentError),
            ({"initial_balance": 5}, ledger.IdempotencyKeyReusedError),
            ({"idempotency_key": "new"}, operations.TierNotFoundError),
            ({"tier": "pro"}, ledger.BalanceExistsError),
        ]

        for correction, expected in corrections:
            call |= correction
            with assert_nothing_written(), pytest.raises(expected):
                initialize_balance(**call)
