from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.db import connection, transaction

from credits import operations, queries
from credits.verification import verify_balance
from fluxori.core import clock
from fluxori.identity.models import User
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import check_sums, unchanged
from tests.support.processes import WORKING, kill_while_working, start_python
from tests.support.threads import in_other_thread, locked_in_other_thread
from tests.support.times import MINUTE, NOON, SECOND

pytestmark = pytest.mark.usefixtures("noon")


class WorkFailedError(Exception):
    pass


def charge(balance, **arguments):
    return operations.charge(owner=balance.owner, **{"amount": 60, "description": "Work", **arguments})


def balance_held_available(balance):
    now = queries.get_balance(owner=balance.owner)
    return now.balance, now.held, now.available


@pytest.fixture(autouse=True)
def _verified_ledger(db):
    yield
    for user in User.objects.filter(credit_balance__isnull=False):
        assert verify_balance(user.pk).differences == ()


@pytest.mark.django_db
class TestCharge:
    def test_places_a_hold_before_the_block(self):
        balance = make_balance()

        with charge(balance) as running:
            assert (running.hold.status, running.amount, running.transaction) == ("open", 60, None)
            assert balance_held_available(balance) == (100, 60, 40)

    def test_captures_the_hold_after_the_block(self):
        balance = make_balance()

        with charge(balance) as running:
            pass

        assert (running.transaction.type, running.transaction.amount) == ("usage", -60)
        assert running.transaction.details.hold_id == running.hold.id
        assert running.transaction.balance_after == 40
        assert balance_held_available(balance) == (40, 0, 40)
        check_sums(balance)

    def test_uses_the_price_of_a_feature_and_the_quantity(self):
        balance = make_balance()

        with charge(balance, amount=None, feature="realtime-ai-dashboard", quantity=4, description="") as running:
            pass

        recorded = running.transaction
        assert recorded.amount == -12
        assert (recorded.details.feature_id, recorded.details.quantity) == ("realtime-ai-dashboard", 4)

    def test_stores_the_actor_the_member_the_reference_and_the_metadata(self):
        balance, actor, member = make_balance(), make_user(), make_user()

        with charge(balance, actor=actor, member=member, reference_id="r-1", metadata={"pages": 3}) as running:
            pass

        details = running.transaction.details
        assert (details.actor_id, details.member_id, details.reference_id) == (actor.pk, member.pk, "r-1")
        assert (details.description, details.metadata) == ("Work", '{"pages":3}')

    def test_releases_the_rest_if_the_final_amount_is_smaller(self):
        balance = make_balance()

        with charge(balance) as running:
            running.amount = 25

        assert (running.amount, running.transaction.amount) == (25, -25)
        assert balance_held_available(balance) == (75, 0, 75)

    def test_takes_the_excess_if_the_final_amount_is_larger(self):
        balance = make_balance()

        with charge(balance) as running:
            running.amount = 80

        assert running.transaction.amount == -80
        assert balance_held_available(balance) == (20, 0, 20)

    def test_releases_the_hold_if_the_final_amount_is_0(self):
        balance = make_balance()

        with charge(balance) as running:
            running.amount = 0

        assert running.transaction is None
        assert balance_held_available(balance) == (100, 0, 100)
        assert balance.holds.get().status == "released"

    @pytest.mark.parametrize("amount", [-1, 2.5, True, None, 10**12 + 1])
    def test_rejects_an_invalid_final_amount_inside_the_block(self, amount):
        balance = make_balance()

        with pytest.raises(operations.InvalidArgumentError), charge(balance) as running:
            running.amount = amount

        assert balance_held_available(balance) == (100, 0, 100)

    @pytest.mark.parametrize("error", [WorkFailedError("no model"), KeyboardInterrupt(), SystemExit(1)])
    def test_releases_the_hold_if_the_block_raises(self, error):
        balance = make_balance()

        with pytest.raises(type(error)) as raised, charge(balance):
            raise error

        assert raised.value is error
        assert balance_held_available(balance) == (100, 0, 100)
        assert balance.holds.get().status == "released"
        assert balance.sequence == 1

    def test_raises_the_error_of_the_block_if_the_hold_has_lapsed(self, clock_at):
        balance = make_balance()

        def work():
            clock_at(NOON + MINUTE)
            raise WorkFailedError

        with pytest.raises(WorkFailedError), charge(balance, expires_in_seconds=60):
            work()

        assert balance_held_available(balance) == (100, 0, 100)

    def test_does_not_run_the_block_without_enough_credits(self):
        balance = make_balance()
        ran = []

        with unchanged(), pytest.raises(operations.InsufficientCreditsError), charge(balance, amount=101):
            ran.append(1)

        assert ran == []

    @pytest.mark.parametrize(
        "arguments", [{"amount": None}, {"feature": "simple-ai-insight"}, {"expires_in_seconds": 0}]
    )
    def test_does_not_run_the_block_with_an_invalid_argument(self, arguments):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError), charge(balance, **arguments):
            pytest.fail("the block ran")

    def test_raises_hold_closed_if_the_block_takes_longer_than_the_hold(self, clock_at):
        balance = make_balance()

        with pytest.raises(operations.HoldClosedError), charge(balance, expires_in_seconds=60):
            clock_at(NOON + MINUTE)

        assert balance_held_available(balance) == (100, 0, 100)

    def test_captures_a_hold_that_the_block_extended(self, clock_at):
        balance = make_balance()

        with charge(balance, expires_in_seconds=60) as running:
            operations.extend_hold(hold_id=running.hold.id, expires_in_seconds=3600)
            clock_at(NOON + MINUTE)

        assert balance_held_available(balance) == (40, 0, 40)

    def test_keeps_the_hold_open_if_the_excess_is_not_available(self):
        balance = make_balance()

        with pytest.raises(operations.InsufficientCreditsError), charge(balance) as running:
            running.amount = 101

        assert balance_held_available(balance) == (100, 60, 40)
        operations.capture_hold(hold_id=running.hold.id)
        assert balance_held_available(balance) == (40, 0, 40)

    def test_can_be_nested(self):
        balance = make_balance()

        with charge(balance, amount=50) as outer, charge(balance, amount=30) as inner:
            assert balance_held_available(balance) == (100, 80, 20)

        assert (outer.transaction.amount, inner.transaction.amount) == (-50, -30)
        assert balance_held_available(balance) == (20, 0, 20)

    def test_allows_transactions_inside_the_block(self):
        balance = make_balance()

        with charge(balance), transaction.atomic():
            deduct(balance, 5)

        assert balance_held_available(balance) == (35, 0, 35)


@pytest.mark.django_db(transaction=True)
class TestChargeTransactions:
    def test_commits_the_hold_before_the_block(self):
        balance = make_balance()

        with charge(balance), ThreadPoolExecutor(1) as another:
            assert another.submit(in_other_thread, lambda: balance_held_available(balance)).result() == (100, 60, 40)

        assert balance_held_available(balance) == (40, 0, 40)

    def test_raises_the_error_of_the_block_if_the_hold_cannot_be_released(self):
        balance = make_balance()

        def work():
            others.enter_context(locked_in_other_thread(balance))
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '20ms'")
            raise WorkFailedError

        with ExitStack() as others, pytest.raises(WorkFailedError), charge(balance):
            work()

        connection.close()
        assert balance_held_available(balance) == (100, 60, 40)

    def test_rejects_a_transaction_of_the_caller(self):
        balance = make_balance()

        with unchanged(), transaction.atomic():
            with pytest.raises(RuntimeError, match="must be committed before the work begins"), charge(balance):
                pytest.fail("the block ran")
            assert balance_held_available(balance) == (100, 0, 100)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestChargeInAKilledProcess:
    def test_leaves_a_hold_that_lapses(self, clock_at):
        balance = make_balance()

        kill_while_working(start_python("-c", WORKING, str(balance.pk), "60", "900"))

        held = balance.holds.get()
        assert (held.status, held.amount) == ("open", 60)
        assert held.expires_at - held.created_at == timedelta(seconds=900)
        clock_at(held.expires_at - SECOND)
        assert balance_held_available(balance) == (100, 60, 40)
        clock_at(held.expires_at)
        assert balance_held_available(balance) == (100, 0, 100)
        operations.expire_credits(balance_ids=[balance.pk], at=clock.now())
        assert (balance.holds.get().status, balance.holds.get().closed_at) == ("lapsed", held.expires_at)
        check_sums(balance)
