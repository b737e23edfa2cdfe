from typing import Any

import pytest

from credits import operations as ledger
from credits import queries
from credits.models import CreditBalance
from fluxori.core.errors import DomainError
from fluxori.identity.owner import Owner
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.identity import OrganizationFactory
from tests.support.factories.tiers import fleeting, month, periods_of, subscribed, subscription_of
from tests.support.tier_tables import check_ledger, unwritten
from tests.support.times import DAY, NOON, SECOND
from tiers import operations
from tiers.operations import initialize_balance

pytestmark = pytest.mark.django_db


def faults_of(refusal):
    return [(fault.field, fault.code) for fault in refusal.value.errors]


class TestInitializeBalance:
    def test_opens_the_balance_with_the_credits_of_the_tier(self):
        owner = make_user()

        done = initialize_balance(owner=owner, tier="growth", at=NOON)

        assert done.transaction is not None
        assert (done.after.balance, done.after.available, done.after.version) == (2000, 2000, 1)
        assert (done.transaction.type, done.transaction.amount, done.transaction.timestamp) == (
            "allocation",
            2000,
            NOON,
        )
        assert done.transaction.description == "Initial Growth: 3 March 2025 to 3 April 2025"
        assert done.alongside == {"tier": "growth", "pending_tier": None, "next_allocation_at": month(1).isoformat()}
        assert queries.get_balance(owner=owner).balance == 2000
        check_ledger()

    def test_serves_an_organization(self):
        pool = OrganizationFactory.create()

        done = initialize_balance(owner=pool, tier="pro", at=NOON)

        assert (done.after.organization_id, done.after.user_id, done.after.balance) == (pool.pk, None, 7000)

    def test_begins_the_months_at_its_own_instant(self):
        begun = subscription_of(subscribed(at=NOON + SECOND))

        assert (begun.anchor, begun.next_period, begun.next_allocation_at) == (
            NOON + SECOND,
            1,
            month(1, NOON + SECOND),
        )
        assert (begun.changes, begun.scheduled_tier, begun.scheduled_at) == (0, None, None)

    def test_stands_apart_from_the_monthly_allocations(self):
        assert periods_of(subscribed()) == []

    def test_gives_as_many_credits_as_it_is_told(self):
        done = initialize_balance(owner=make_user(), tier="pro", initial_balance=1, at=NOON)

        assert done.transaction is not None
        assert (done.after.balance, done.transaction.amount) == (1, 1)

    def test_may_begin_with_nothing(self):
        owner = make_user()

        done = initialize_balance(owner=owner, tier="pro", initial_balance=0, at=NOON)

        assert done.transaction is None
        assert (done.after.balance, done.after.sequence, done.after.version) == (0, 0, 1)
        assert done.alongside["tier"] == "pro"
        assert list(queries.get_transaction_history(owner=owner)) == []

    def test_subscribes_a_balance_that_was_opened_without_a_tier(self):
        bought = make_balance(grants=[(50, None)], type="purchase")

        done = initialize_balance(owner=bought.owner, tier="explorer", at=NOON + DAY)

        assert done.transaction is not None
        assert (done.after.balance, done.transaction.amount, done.transaction.sequence) == (450, 400, 2)
        assert subscription_of(bought).anchor == NOON + DAY

    def test_keeps_the_credits_for_ever_where_the_tier_lets_them_stay(self):
        assert subscribed(tier="explorer").grants.get().expires_at is None

    @pytest.mark.parametrize(("asked", "given"), [({}, 100), ({"initial_balance": 7}, 7)])
    def test_lets_the_credits_expire_with_their_period_where_the_tier_says_so(self, asked, given):
        fleeting()

        balance = subscribed(tier="fleeting", **asked)

        assert balance.grants.get().expires_at == month(1)
        assert queries.get_balance(owner=balance.owner, at=month(1) - SECOND).available == given
        assert queries.get_balance(owner=balance.owner, at=month(1)).available == 0

    def test_counts_from_the_last_movement_where_the_clock_is_behind_it(self):
        ahead = make_balance(grants=[(50, None)], at=NOON + DAY)

        initialize_balance(owner=ahead.owner, tier="explorer", at=NOON)

        assert subscription_of(ahead).anchor == NOON + DAY

    def test_remembers_who_asked(self):
        staff = make_user()

        done = initialize_balance(owner=make_user(), tier="pro", actor=staff, idempotency_key="first", at=NOON)

        assert done.transaction is not None
        assert (done.transaction.actor_id, done.transaction.idempotency_key) == (staff.pk, "first")


class TestInitializeBalanceAgain:
    def test_is_refused_without_a_trace(self):
        balance = subscribed()

        with unwritten(), pytest.raises(ledger.BalanceExistsError) as refusal:
            initialize_balance(owner=balance.owner, tier="pro", at=NOON + DAY)

        assert refusal.value.code == "balance_exists"

    @pytest.mark.parametrize(("initial_balance", "moved"), [(None, True), (0, False)])
    def test_replays_the_first_answer_under_its_key_whatever_has_happened_since(self, initial_balance, moved):
        owner = make_user()
        asked: dict[str, Any] = {
            "owner": owner,
            "tier": "growth",
            "initial_balance": initial_balance,
            "idempotency_key": "once",
        }
        first = initialize_balance(**asked, at=NOON)
        make_balance(owner, at=NOON + DAY)
        deduct(CreditBalance.objects.get(pk=owner.pk), 10, at=NOON + DAY)
        operations.update_subscription_tier(owner=owner, tier="pro", at=NOON + DAY)

        with unwritten():
            again = initialize_balance(**asked, at=NOON + 2 * DAY)

        assert (first.replayed, again.replayed) == (False, True)
        assert (again.after, again.alongside) == (first.after, first.alongside)
        assert again.transaction == first.transaction
        assert (again.transaction is not None) == moved


class TestInitializeBalanceRefuses:
    @pytest.mark.parametrize(
        ("asked", "fault"),
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
    def test_what_can_never_be_right(self, asked, fault):
        owner = make_user()

        with unwritten(), pytest.raises(ledger.InvalidArgumentError) as refusal:
            initialize_balance(**{"owner": owner, "tier": "pro", "at": NOON, **asked})

        assert faults_of(refusal) == [fault]

    def test_an_unknown_tier_without_opening_the_balance(self):
        owner = make_user()

        with unwritten(), pytest.raises(operations.TierNotFoundError) as refusal:
            initialize_balance(owner=owner, tier="platinum", at=NOON)

        assert refusal.value.facts == {"tier": "platinum"}
        assert not CreditBalance.objects.filter(pk=owner.pk).exists()

    def test_a_user_by_the_id_of_an_organization(self):
        pool = subscribed(OrganizationFactory.create())

        with unwritten(), pytest.raises(ledger.BalanceNotFoundError):
            initialize_balance(owner=Owner.user(pool.pk), tier="pro", at=NOON)

    def test_in_the_documented_order(self):
        balance = subscribed()
        make_balance(balance.owner, idempotency_key="taken")
        wrong: dict[str, Any] = {
            "owner": balance.owner,
            "at": NOON,
            "tier": "no-such",
            "idempotency_key": "taken",
            "initial_balance": -1,
        }
        mended: list[tuple[dict[str, Any], type[DomainError]]] = [
            ({}, ledger.InvalidArgumentError),
            ({"initial_balance": 5}, ledger.IdempotencyKeyReusedError),
            ({"idempotency_key": "new"}, operations.TierNotFoundError),
            ({"tier": "pro"}, ledger.BalanceExistsError),
        ]

        for mending, expected in mended:
            wrong |= mending
            with unwritten(), pytest.raises(expected):
                initialize_balance(**wrong)
