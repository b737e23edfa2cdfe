"""Following a list: every row that is added is returned once, also if transactions commit in another order."""

import time
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Event

import pytest
from django.db import connection, transaction

from fluxori.identity.models import User
from tests.support.factories.credits import deduct, make_balance
from tests.support.factories.identity import AdminFactory, UserFactory
from tests.support.problems import invalid, problem_of

USERS = "/api/users"
HISTORY = "/api/credits/history"


def follow(client, page, stop=lambda: True):
    """Return the rows that are added after ``page``, oldest first: read ``follow`` until it is empty and ``stop()``."""
    rows = []
    while True:
        stopped = stop()  # before the read, so that the last read sees everything
        page = client.get(page["follow"]).json()
        rows += page["results"][::-1]
        if not page["results"] and stopped:
            return rows, page


def in_thread(function, *args):
    try:
        return function(*args)
    finally:
        connection.close()


@pytest.mark.django_db
class TestFollow:
    def test_returns_rows_that_are_added_after_the_head_of_the_list(self, api):
        client = api(AdminFactory.create())
        head = client.get(USERS, {"follow": "true"}).json()
        assert (head["next"], head["previous"]) == (None, None)

        added = [UserFactory.create().email for _ in range(3)]
        rows, page = follow(client, head)

        assert [row["email"] for row in rows] == added
        assert follow(client, page)[0] == []
        added = [UserFactory.create().email]
        assert [row["email"] for row in follow(client, page)[0]] == added

    def test_begins_with_the_first_row_of_an_empty_list(self, api):
        user = UserFactory.create()
        client = api(user)
        empty = client.get(HISTORY, {"follow": "true"}).json()
        assert empty["results"] == []

        make_balance(owner=user, grants=[(5, None), (6, None)])

        assert [row["amount"] for row in follow(client, empty)[0]] == [5, 6]

    def test_keeps_the_filters_and_the_page_size(self, api):
        user = UserFactory.create()
        balance = make_balance(owner=user)
        client = api(user)
        head = client.get(HISTORY, {"type": "usage", "limit": 2, "follow": "true"}).json()

        for amount in (1, 2, 3, 4, 5):
            deduct(balance, amount)

        assert [row["amount"] for row in follow(client, head)[0]] == [-1, -2, -3, -4, -5]
        assert len(client.get(head["follow"]).json()["results"]) == 2

    def test_is_only_on_lists_whose_order_is_that_of_the_commits(self, api):
        client = api(AdminFactory.create())

        assert "follow" not in client.get(USERS, {"follow": "false"}).json()
        for path in ("/api/credits/balances", "/api/credits/grants", "/api/credits/holds", "/api/tiers"):
            assert problem_of(client.get(path, {"follow": "true"})) == invalid("follow", "unknown_field")

    @pytest.mark.parametrize("query", ["follow=yes", "follow=", "follow=true&follow=true"])
    def test_rejects_another_value_of_the_parameter(self, api, query):
        response = api(AdminFactory.create()).get(f"{USERS}?{query}")

        assert problem_of(response) == invalid("follow", "wrong_type")


@pytest.mark.django_db(transaction=True)
class TestConcurrentWriters:
    def test_a_user_that_commits_late_is_not_missed(self, api):
        client = api(AdminFactory.create())
        head = client.get(USERS, {"follow": "true"}).json()
        inserted, may_commit = Event(), Event()

        def create_slowly():
            with transaction.atomic():
                User.objects.create_user("slow@example.com")
                inserted.set()
                may_commit.wait(10)

        with ThreadPoolExecutor(max_workers=2) as pool:
            slow = pool.submit(in_thread, create_slowly)
            assert inserted.wait(10)
            fast = pool.submit(in_thread, User.objects.create_user, "fast@example.com")
            time.sleep(0.2)  # without the lock the second user commits now
            rows, page = follow(client, head)
            may_commit.set()
            slow.result(), fast.result()
            rows += follow(client, page)[0]

        assert sorted(row["email"] for row in rows) == ["fast@example.com", "slow@example.com"]

    def test_users_are_returned_once_each(self, api):
        client = api(AdminFactory.create())
        head = client.get(USERS, {"follow": "true"}).json()

        def create(number):
            random = Random(number)
            for n in range(6):
                with transaction.atomic():
                    User.objects.create_user(f"{number}-{n}@example.com")
                    time.sleep(random.random() / 100)

        with ThreadPoolExecutor(max_workers=4) as pool:
            writers = [pool.submit(in_thread, create, number) for number in range(4)]
            rows, _ = follow(client, head, stop=lambda: all(writer.done() for writer in writers))

        emails = [row["email"] for row in rows]
        assert len(emails) == len(set(emails)) == 24

    def test_transactions_are_returned_once_each_and_in_order(self, api):
        user = UserFactory.create()
        balance = make_balance(owner=user, grants=[(100, None)])
        client = api(user)
        head = client.get(HISTORY, {"follow": "true"}).json()

        with ThreadPoolExecutor(max_workers=4) as pool:
            writers = [pool.submit(in_thread, deduct, balance, 1) for _ in range(20)]
            rows, _ = follow(client, head, stop=lambda: all(writer.done() for writer in writers))

        assert [row["sequence"] for row in rows] == list(range(2, 22))
