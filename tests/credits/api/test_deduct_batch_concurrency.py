"""Large and concurrent batches of deductions."""

import pytest
from django.db import connection

from tests.support.batch import INSIGHT, amount, send, summary
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import ServiceFactory, UserFactory
from tests.support.operations import captured_statements, check_sums
from tests.support.threads import locked_in_other_thread, run_concurrently
from tests.support.times import DAY

pytestmark = pytest.mark.usefixtures("noon")


@pytest.mark.django_db
class TestFiveHundredItems:
    def test_on_one_balance_run_five_statements_and_a_replay_six(self, api):
        user = UserFactory.create()
        balance = make_balance(user, [(1, DAY)] * 20 + [(10_000, None)])
        items = [{**INSIGHT, "idempotencyKey": f"k{index}"} for index in range(500)]
        client = api(user)

        with captured_statements() as statements:
            response = send(client, *items)
        with captured_statements() as repeated_statements:
            repeated = send(client, *items)

        # The caller, the tier; lock, load and write. A replay reads transactions and entries and writes nothing.
        assert (len(statements), len(repeated_statements)) == (1 + 4, 1 + 2 + 3)
        assert summary(response) == [(200, -9)] * 500
        assert (repeated.content, repeated["Idempotency-Replayed"]) == (response.content, "true")
        check_sums(balance)
        assert (balance.balance, balance.sequence) == (10_020 - 4_500, 21 + 500)

    def test_on_five_balances_run_three_statements_for_each(self, api):
        users = UserFactory.create_batch(5)
        balances = [make_balance(each, [(1_000, None)]) for each in users]
        items = [{**INSIGHT, "userId": str(users[index % 5].pk), "idempotencyKey": f"k{index}"} for index in range(500)]
        client = api(ServiceFactory.create())

        with captured_statements() as statements:
            response = send(client, *items)

        # The caller, whether each user exists, the tiers of all, and the statements of each operation.
        assert len(statements) == 1 + 5 + 5 * 4
        assert summary(response) == [(200, -9)] * 500
        for balance in balances:
            check_sums(balance)
            assert balance.balance == 100


@pytest.mark.django_db(transaction=True)
class TestConcurrentBatches:
    @pytest.mark.parametrize("atomic", [True, False])
    def test_of_the_same_items_move_credits_once(self, api, atomic):
        user = UserFactory.create()
        balance = make_balance(user)
        items = [amount(20, idempotencyKey=f"k{index}") for index in range(5)]
        client = api(user)

        responses = run_concurrently([lambda: send(client, *items, atomic=atomic)] * 2)

        assert responses[0].content == responses[1].content
        assert summary(responses[0]) == [(200, -20)] * 5
        assert sorted("Idempotency-Replayed" in response for response in responses) == [False, True]
        check_sums(balance)
        assert (balance.balance, balance.sequence) == (0, 6)

    def test_that_are_atomic_take_all_or_nothing(self, api):
        user = UserFactory.create()
        balance = make_balance(user)
        client = api(user)

        responses = run_concurrently([lambda: send(client, amount(30), amount(30), atomic=True)] * 4)

        assert sorted(summary(response) for response in responses) == [
            [(200, -30), (200, -30)],
            *[[(424, "batch_aborted"), (402, "insufficient_credits")]] * 3,
        ]
        check_sums(balance)
        assert balance.balance == 40

    def test_in_opposite_order_do_not_deadlock(self, api):
        first, other = UserFactory.create(), UserFactory.create()
        balances = [make_balance(first, [(1_000, None)]), make_balance(other, [(1_000, None)])]
        service = ServiceFactory.create()
        items = [amount(1, userId=str(each.pk)) for each in (first, other)]

        def send_in_order():
            return send(api(service), *items)

        def send_reversed():
            return send(api(service), *reversed(items))

        responses = run_concurrently([send_in_order, send_reversed] * 4)

        assert [summary(response) for response in responses] == [[(200, -1), (200, -1)]] * 8
        for balance in balances:
            check_sums(balance)
            assert balance.balance == 992

    def test_report_only_the_locked_balance_as_busy(self, api):
        locked, free = UserFactory.create(), UserFactory.create()
        balance = make_balance(locked)
        make_balance(free)
        client = api(ServiceFactory.create())

        with locked_in_other_thread(balance):
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '20ms'")
            response = send(client, amount(1, userId=str(locked.pk)), amount(1, userId=str(free.pk)))
        connection.close()

        assert summary(response) == [(503, "busy"), (200, -1)]
        assert response.json()["results"][0]["body"]["requestId"] == response["X-Request-Id"]
        check_sums(balance)
        assert balance.balance == 100
