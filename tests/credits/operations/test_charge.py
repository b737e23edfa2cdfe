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


def charge(balance, **asked):
    return operations.charge(owner=balance.owner, **{"amount": 60, "description": "Work", **asked})


def said(balance):
    now = queries.get_balance(owner=balance.owner)
    return now.balance, now.held, now.available


@pytest.fixture(autouse=True)
def _nothing_wrong(db):
    yield
    for user in User.objects.filter(credit_balance__isnull=False):
        assert verify_balance(user.pk).differences == ()


@pytest.mark.django_db
class TestCharge:
    def test_sets_credits_aside_before_the_work(self):
        balance = make_balance()

        with charge(balance) as running:
            assert (running.hold.status, running.amount, running.transaction) == ("open", 60, None)
            assert said(balance) == (100, 60, 40)

    def test_spends_them_after_it(self):
        balance = make_balance()

        with charge(balance) as running:
            pass

        assert (running.transaction.type, running.transaction.amount) == ("usage", -60)
        assert running.transaction.hold_id == running.hold.pk
        assert running.transaction.after.balance == 40
        assert said(balance) == (40, 0, 40)
        check_sums(balance)

    def test_charges_for_a_feature_at_the_price_before_the_work(self):
        balance = make_balance()

        with charge(balance, amount=None, feature="realtime-ai-dashboard", quantity=4, description="") as running:
            pass

        recorded = running.transaction
        assert (recorded.amount, recorded.feature_id, recorded.quantity) == (-12, "realtime-ai-dashboard", 4)

    def test_says_for_whom_and_what_it_was(self):
        balance, actor, member = make_balance(), make_user(), make_user()

        with charge(balance, actor=actor, member=member, reference_id="r-1", metadata={"pages": 3}) as running:
            pass

        recorded = running.transaction
        assert (recorded.actor_id, recorded.member_id, recorded.reference_id) == (actor.pk, member.pk, "r-1")
        assert (recorded.description, recorded.metadata) == ("Work", '{"pages":3}')

    def test_can_cost_less_in_the_end(self):
        balance = make_balance()

        with charge(balance) as running:
            running.amount = 25

        assert (running.amount, running.transaction.amount) == (25, -25)
        assert said(balance) == (75, 0, 75)

    def test_can_cost_more_in_the_end(self):
        balance = make_balance()

        with charge(balance) as running:
            running.amount = 80

        assert running.transaction.amount == -80
        assert said(balance) == (20, 0, 20)

    def test_can_cost_nothing_in_the_end(self):
        balance = make_balance()

        with charge(balance) as running:
            running.amount = 0

        assert running.transaction is None
        assert said(balance) == (100, 0, 100)
        assert balance.holds.get().status == "released"

    @pytest.mark.parametrize("amount", [-1, 2.5, True, None, 10**12 + 1])
    def test_refuses_a_cost_that_could_never_be_right_where_it_is_set(self, amount):
        balance = make_balance()

        with pytest.raises(operations.InvalidArgumentError), charge(balance) as running:
            running.amount = amount

        assert said(balance) == (100, 0, 100)

    @pytest.mark.parametrize("fault", [WorkFailedError("no model"), KeyboardInterrupt(), SystemExit(1)])
    def test_costs_nothing_when_the_work_raises(self, fault):
        balance = make_balance()

        with pytest.raises(type(fault)) as raised, charge(balance):
            raise fault

        assert raised.value is fault
        assert said(balance) == (100, 0, 100)
        assert balance.holds.get().status == "released"
        assert balance.sequence == 1

    def test_lets_what_the_work_raised_go_on_though_the_hold_has_lapsed(self, clock_at):
        balance = make_balance()

        def work():
            clock_at(NOON + MINUTE)
            raise WorkFailedError

        with pytest.raises(WorkFailedError), charge(balance, expires_in_seconds=60):
            work()

        assert said(balance) == (100, 0, 100)

    def test_does_not_run_the_work_without_the_credits(self):
        balance = make_balance()
        ran = []

        with unchanged(), pytest.raises(operations.InsufficientCreditsError), charge(balance, amount=101):
            ran.append(1)

        assert ran == []

    @pytest.mark.parametrize("asked", [{"amount": None}, {"feature": "simple-ai-insight"}, {"expires_in_seconds": 0}])
    def test_refuses_arguments_that_could_never_be_right(self, asked):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError), charge(balance, **asked):
            pytest.fail("the work ran")

    def test_says_that_the_work_outlasted_the_hold(self, clock_at):
        balance = make_balance()

        with pytest.raises(operations.HoldClosedError), charge(balance, expires_in_seconds=60):
            clock_at(NOON + MINUTE)

        assert said(balance) == (100, 0, 100)

    def test_can_be_extended_on_the_way(self, clock_at):
        balance = make_balance()

        with charge(balance, expires_in_seconds=60) as running:
            operations.extend_hold(hold_id=running.hold.pk, expires_in_seconds=3600)
            clock_at(NOON + MINUTE)

        assert said(balance) == (40, 0, 40)

    def test_keeps_the_hold_when_the_excess_is_refused(self):
        balance = make_balance()

        with pytest.raises(operations.InsufficientCreditsError), charge(balance) as running:
            running.amount = 101

        assert said(balance) == (100, 60, 40)
        operations.capture_hold(hold_id=running.hold.pk)
        assert said(balance) == (40, 0, 40)

    def test_can_stand_inside_another(self):
        balance = make_balance()

        with charge(balance, amount=50) as outer, charge(balance, amount=30) as inner:
            assert said(balance) == (100, 80, 20)

        assert (outer.transaction.amount, inner.transaction.amount) == (-50, -30)
        assert said(balance) == (20, 0, 20)

    def test_lets_the_work_use_transactions_of_its_own(self):
        balance = make_balance()

        with charge(balance), transaction.atomic():
            deduct(balance, 5)

        assert said(balance) == (35, 0, 35)


@pytest.mark.django_db(transaction=True)
class TestChargeCommitted:
    def test_sets_credits_aside_for_all_to_see_before_the_work(self):
        balance = make_balance()

        with charge(balance), ThreadPoolExecutor(1) as another:
            assert another.submit(in_other_thread, lambda: said(balance)).result() == (100, 60, 40)

        assert said(balance) == (40, 0, 40)

    def test_lets_what_the_work_raised_go_on_though_the_hold_cannot_be_released(self):
        balance = make_balance()

        def work():
            others.enter_context(locked_in_other_thread(balance))
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '20ms'")
            raise WorkFailedError

        with ExitStack() as others, pytest.raises(WorkFailedError), charge(balance):
            work()

        connection.close()
        assert said(balance) == (100, 60, 40)

    def test_refuses_to_run_in_a_transaction_and_says_why(self):
        balance = make_balance()

        with unchanged(), transaction.atomic():
            with pytest.raises(RuntimeError, match="must be committed before the work begins"), charge(balance):
                pytest.fail("the work ran")
            assert said(balance) == (100, 0, 100)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestChargeKilled:
    def test_strands_no_credits(self, clock_at):
        balance = make_balance()

        kill_while_working(start_python("-c", WORKING, str(balance.pk), "60", "900"))

        held = balance.holds.get()
        assert (held.status, held.amount) == ("open", 60)
        assert held.expires_at - held.created_at == timedelta(seconds=900)
        clock_at(held.expires_at - SECOND)
        assert said(balance) == (100, 60, 40)
        clock_at(held.expires_at)
        assert said(balance) == (100, 0, 100)
        operations.expire_credits(balance_ids=[balance.pk], at=clock.now())
        assert (balance.holds.get().status, balance.holds.get().closed_at) == ("lapsed", held.expires_at)
        check_sums(balance)
