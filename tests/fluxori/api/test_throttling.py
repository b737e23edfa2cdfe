import time

import pytest
from django.core.cache import cache

from fluxori.api import throttling
from tests.support.factories.identity import PASSWORD, AdminFactory, ServiceFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def few(settings, monkeypatch):
    """Allow two of everything, in a minute that does not end in the middle of a test."""
    monkeypatch.setattr(throttling, "WINDOW", 10**9)
    settings.THROTTLES = {"user": 2, "service": 3, "anonymous": 2, "login": 2}


def statuses(ask, times):
    return [ask().status_code for _ in range(times)]


class TestThrottle:
    @pytest.mark.parametrize(("factory", "limit"), [(UserFactory, 2), (AdminFactory, 2), (ServiceFactory, 3)])
    def test_stops_a_caller_at_the_limit_of_their_role(self, api, few, factory, limit):
        client = api(factory.create())

        assert statuses(lambda: client.get("/api/me"), limit + 1) == [200] * limit + [429]

    def test_leaves_others_alone(self, api, few):
        busy = api(UserFactory.create())
        statuses(lambda: busy.get("/api/me"), 3)

        assert api(UserFactory.create()).get("/api/me").status_code == 200

    def test_says_when_to_come_back(self, api, few):
        client = api(UserFactory.create())
        statuses(lambda: client.get("/api/me"), 2)

        response = client.get("/api/me")

        assert (response.status_code, response.json()["code"]) == (429, "throttled")
        assert response["Content-Type"] == "application/problem+json"
        assert 0 < int(response["Retry-After"]) <= 10**9

    def test_lets_a_caller_back_in_with_the_next_window(self, api, settings, monkeypatch):
        monkeypatch.setattr(throttling, "WINDOW", 1)
        settings.THROTTLES = {**settings.THROTTLES, "user": 1}
        client = api(UserFactory.create())
        assert 429 in statuses(lambda: client.get("/api/me"), 3)

        time.sleep(1.05)

        assert client.get("/api/me").status_code == 200

    def test_counts_logins_by_address_and_by_account(self, api, few):
        user = UserFactory.create()

        def log_in(email, **headers):
            return api().post("/api/auth/token", {"email": email, "password": PASSWORD}, **headers)

        assert statuses(lambda: log_in(user.email), 3) == [200, 200, 429]
        assert log_in("other@example.com").status_code == 429
        assert log_in(user.email.upper(), REMOTE_ADDR="10.0.0.2").status_code == 429
        assert log_in("other@example.com", REMOTE_ADDR="10.0.0.2").status_code == 401

    def test_survives_a_login_that_is_no_object(self, api, few):
        assert api().post("/api/auth/token", {"email": ["x"]}).status_code == 400
        assert api().post("/api/auth/token", [1]).status_code == 400

    def test_believes_only_its_own_proxies(self, api, few, settings):
        def ask(forwarded):
            return api().post("/api/auth/logout", {}, headers={"x-forwarded-for": forwarded}).status_code

        assert [ask("1.1.1.1"), ask("2.2.2.2"), ask("3.3.3.3")] == [400, 400, 429]

        settings.PROXIES = 1
        assert [ask("spoofed, 4.4.4.4"), ask("other, 4.4.4.4"), ask("third, 4.4.4.4")] == [400, 400, 429]

    def test_serves_unprotected_rather_than_not_at_all(self, api, few, monkeypatch):
        from redis.exceptions import ConnectionError as Away

        def away(*args, **kwargs):
            raise Away

        monkeypatch.setattr(cache, "add", away)
        client = api(UserFactory.create())

        assert statuses(lambda: client.get("/api/me"), 5) == [200] * 5

    def test_is_wide_enough_by_default(self, settings):
        assert settings.THROTTLES["user"] >= 1_200
        assert settings.THROTTLES["service"] >= 60_000
