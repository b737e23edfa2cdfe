"""The login throttle of the admin: it locks after repeated failures, per account and address, and per address."""

from datetime import timedelta

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from fluxori.api.throttling import address_of
from fluxori.identity import lock_out
from fluxori.identity.errors import LoginBusyError
from fluxori.identity.models import LoginFailures, User
from tests.support.factories.identity import PASSWORD
from tests.support.threads import run_concurrently
from tests.support.times import MINUTE, NOON

LIMIT = 5


def log_in(password=PASSWORD, email="admin@staff.test", address="10.0.0.1"):
    page = reverse("admin:login")
    return Client(REMOTE_ADDR=address).post(page, {"username": email, "password": password})


def fail_to_log_in(times=LIMIT, **credentials):
    return [log_in("wrong", **credentials) for _ in range(times)]


def is_locked(response) -> bool:
    return response.status_code == 200 and "Too many attempts failed" in response.content.decode()


@pytest.fixture
def account(db):
    return User.objects.create_superuser("admin@staff.test", PASSWORD)


@pytest.mark.usefixtures("account")
class TestLogin:
    def test_the_right_password_logs_in(self):
        assert log_in().status_code == 302
        assert not LoginFailures.objects.filter(failures__gt=0).exists()

    def test_repeated_failures_lock_the_account_even_for_the_right_password(self):
        failed = fail_to_log_in()

        assert not any(is_locked(response) for response in failed)
        assert is_locked(log_in())

    def test_a_lock_affects_one_account_from_one_address(self):
        User.objects.create_superuser("other@staff.test", PASSWORD)
        fail_to_log_in()

        assert log_in(address="10.0.0.2").status_code == 302
        assert log_in(email="other@staff.test").status_code == 302

    def test_failures_count_for_the_email_in_any_case(self):
        fail_to_log_in(email="ADMIN@staff.test")

        assert is_locked(log_in())

    def test_unknown_accounts_are_locked_too(self):
        fail_to_log_in(email="unknown@staff.test")

        assert is_locked(log_in(email="unknown@staff.test"))

    def test_a_lock_ends_fifteen_minutes_after_the_last_failure(self, clock_at):
        clock_at(NOON)
        fail_to_log_in()
        clock_at(NOON + 14 * MINUTE)
        assert is_locked(log_in())

        clock_at(NOON + 15 * MINUTE)
        assert log_in().status_code == 302

    def test_a_login_resets_the_failures(self):
        fail_to_log_in(LIMIT - 1)
        log_in()

        assert not any(is_locked(response) for response in fail_to_log_in(LIMIT - 1))
        assert log_in().status_code == 302

    def test_an_address_that_tries_many_accounts_is_locked(self):
        for number in range(LIMIT * lock_out.ADDRESS_FACTOR):
            log_in("wrong", email=f"{number}@staff.test")

        assert is_locked(log_in())
        assert log_in(address="10.0.0.2").status_code == 302

    def test_the_counters_contain_hashes_only(self):
        fail_to_log_in(1)

        assert all(len(row.name) == 64 for row in LoginFailures.objects.all())

    @override_settings(LOGIN_FAILURES=1)
    def test_the_limit_is_a_setting(self):
        fail_to_log_in(1)

        assert is_locked(log_in())


@pytest.mark.usefixtures("account")
class TestApiLogin:
    def log_in(self, api, password=PASSWORD):
        return api().post(
            "/api/auth/token", {"email": "Admin@staff.test", "password": password}, REMOTE_ADDR="10.0.0.1"
        )

    def test_shares_the_lock_with_the_admin(self, api, clock_at):
        clock_at(NOON)
        fail_to_log_in(LIMIT - 1)
        assert self.log_in(api, "wrong").status_code == 401

        response = self.log_in(api)

        assert is_locked(log_in())
        assert (response.status_code, response.json()["code"]) == (429, "throttled")
        assert response["Retry-After"] == "900"
        clock_at(NOON + 15 * MINUTE)
        assert self.log_in(api).status_code == 200

    def test_does_not_count_an_attempt_that_was_too_busy_to_be_checked(self, api, monkeypatch):
        def refuse(*args, **options):
            raise LoginBusyError

        monkeypatch.setattr("fluxori.identity.tokens.authenticate", refuse)

        assert [self.log_in(api).status_code for _ in range(LIMIT + 1)] == [503] * (LIMIT + 1)
        assert not LoginFailures.objects.filter(failures__gt=0).exists()


@pytest.mark.django_db(transaction=True)
class TestConcurrentLogins:
    def test_concurrent_attempts_do_not_exceed_the_limit(self):
        outcomes = run_concurrently([lambda: lock_out.record_attempt("name", limit=LIMIT, at=NOON)] * 12)

        assert outcomes.count(None) == LIMIT
        assert lock_out.record_attempt("name", limit=LIMIT, at=NOON + timedelta(minutes=15)) is None


@pytest.mark.usefixtures("account")
class TestNetworks:
    def test_failures_from_one_ipv6_network_lock_all_of_its_addresses(self):
        for n in range(LIMIT):
            fail_to_log_in(1, address=f"2001:db8:0:1::{n:x}")

        assert is_locked(log_in(address="2001:db8:0:1:ffff::1"))
        assert log_in(address="2001:db8:0:2::1").status_code == 302

    @pytest.mark.parametrize(
        ("address", "counted"),
        [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
            ("[2001:DB8:0:1::5]", "2001:db8:0:1::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("unknown", "unknown"),
            ("", ""),
        ],
    )
    def test_an_address_counts_as_its_network(self, rf, address, counted):
        assert address_of(rf.get("/", REMOTE_ADDR=address)) == counted
