"""The admin's door: it shuts after repeated failures, for one account from one address."""

from datetime import timedelta

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from fluxori.console.login import throttle
from fluxori.console.models import LoginFailures
from fluxori.identity.models import User
from tests.support.factories.identity import PASSWORD
from tests.support.threads import run_concurrently
from tests.support.times import MINUTE, NOON

LIMIT = 5


def knock(password=PASSWORD, email="door@staff.test", address="10.0.0.1"):
    page = reverse("admin:login")
    return Client(REMOTE_ADDR=address).post(page, {"username": email, "password": password})


def fail(times=LIMIT, **at):
    return [knock("wrong", **at) for _ in range(times)]


def shut(response) -> bool:
    return response.status_code == 200 and "Too many attempts failed" in response.content.decode()


@pytest.fixture
def account(db):
    return User.objects.create_superuser("door@staff.test", PASSWORD)


@pytest.mark.usefixtures("account")
class TestTheDoor:
    def test_opens(self):
        assert knock().status_code == 302
        assert not LoginFailures.objects.filter(failures__gt=0).exists()

    def test_shuts_after_repeated_failures_even_for_the_right_password(self):
        failed = fail()

        assert not any(shut(response) for response in failed)
        assert shut(knock())

    def test_shuts_for_that_account_and_address_only(self):
        User.objects.create_superuser("other@staff.test", PASSWORD)
        fail()

        assert knock(address="10.0.0.2").status_code == 302
        assert knock(email="other@staff.test").status_code == 302

    def test_does_not_care_how_the_account_is_spelled(self):
        fail(email="DOOR@staff.test")

        assert shut(knock())

    def test_shuts_for_accounts_that_do_not_exist_just_the_same(self):
        fail(email="nobody@staff.test")

        assert shut(knock(email="nobody@staff.test"))

    def test_opens_again_some_time_after_the_last_failure(self, clock_at):
        clock_at(NOON)
        fail()
        clock_at(NOON + 14 * MINUTE)
        assert shut(knock())

        clock_at(NOON + 15 * MINUTE)
        assert knock().status_code == 302

    def test_forgets_failures_when_somebody_gets_in(self):
        fail(LIMIT - 1)
        knock()

        assert not any(shut(response) for response in fail(LIMIT - 1))
        assert knock().status_code == 302

    def test_shuts_for_an_address_that_tries_many_accounts(self):
        for number in range(LIMIT * throttle.ADDRESS_FACTOR):
            knock("wrong", email=f"{number}@staff.test")

        assert shut(knock())
        assert knock(address="10.0.0.2").status_code == 302

    def test_keeps_no_address_and_no_account(self):
        fail(1)

        assert all(len(row.name) == 64 for row in LoginFailures.objects.all())

    @override_settings(LOGIN_FAILURES=1)
    def test_is_as_strict_as_it_is_set(self):
        fail(1)

        assert shut(knock())


@pytest.mark.django_db(transaction=True)
class TestTheDoorUnderContention:
    def test_lets_no_more_guesses_through_at_once_than_one_after_another(self):
        outcomes = run_concurrently([lambda: throttle.record_attempt("name", limit=LIMIT, at=NOON)] * 12)

        assert outcomes.count(True) == LIMIT
        assert throttle.record_attempt("name", limit=LIMIT, at=NOON + timedelta(minutes=15))
