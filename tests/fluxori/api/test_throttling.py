import time

import pytest
from django.core.cache import cache

from fluxori.api import throttling
from tests.support.factories.identity import PASSWORD, AdminFactory, ServiceFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def low_limits(settings, monkeypatch):
    """Allow two or three requests, in a window that does not end during a test."""
    monkeypatch.setattr(throttling, "WINDOW", 10**9)
    settings.THROTTLES = {"user": 2, "service": 3, "anonymous": 2, "login": 2}


def statuses(post, times):
    return [post().status_code for _ in range(times)]


class TestThrottling:
    @pytest.mark.parametrize(("factory", "limit"), [(UserFactory, 2), (AdminFactory, 2), (ServiceFactory, 3)])
    def test_rejects_requests_beyond_the_limit_of_the_callers_role(self, api, low_limits, factory, limit):
        client = api(factory.create())

        assert statuses(lambda: client.get("/api/me"), limit + 1) == [200] * limit + [429]

    def test_counts_each_caller_separately(self, api, low_limits):
        limited = api(UserFactory.create())
        statuses(lambda: limited.get("/api/me"), 3)

        assert api(UserFactory.create()).get("/api/me").status_code == 200

    def test_returns_429_with_retry_after(self, api, low_limits):
        client = api(UserFactory.create())
        statuses(lambda: client.get("/api/me"), 2)

        response = client.get("/api/me")

        assert (response.status_code, response.json()["code"]) == (429, "throttled")
        assert response["Content-Type"] == "application/problem+json"
        assert 0 < int(response["Retry-After"]) <= 10**9

    def test_allows_requests_again_in_the_next_window(self, api, settings, monkeypatch):
        monkeypatch.setattr(throttling, "WINDOW", 1)
        settings.THROTTLES = {**settings.THROTTLES, "user": 1}
        client = api(UserFactory.create())
        assert 429 in statuses(lambda: client.get("/api/me"), 3)

        time.sleep(1.05)

        assert client.get("/api/me").status_code == 200

    def test_counts_logins_by_ip_address_and_by_account(self, api, low_limits):
        user = UserFactory.create()

        def log_in(email, **headers):
            return api().post("/api/auth/token", {"email": email, "password": PASSWORD}, **headers)

        assert statuses(lambda: log_in(user.email), 3) == [200, 200, 429]
        assert log_in("other@example.com").status_code == 429
        assert log_in(user.email.upper(), REMOTE_ADDR="10.0.0.2").status_code == 429
        assert log_in("other@example.com", REMOTE_ADDR="10.0.0.2").status_code == 401

    def test_ignores_a_login_body_without_a_valid_email(self, api, low_limits):
        assert api().post("/api/auth/token", {"email": ["x"]}).status_code == 400
        assert api().post("/api/auth/token", [1]).status_code == 400

    def test_trusts_forwarded_addresses_of_the_configured_proxies_only(self, api, low_limits, settings):
        def post(forwarded):
            return api().post("/api/auth/logout", {}, headers={"x-forwarded-for": forwarded}).status_code

        assert [post("1.1.1.1"), post("2.2.2.2"), post("3.3.3.3")] == [400, 400, 429]

        settings.PROXIES = 1
        assert [post("spoofed, 4.4.4.4"), post("other, 4.4.4.4"), post("third, 4.4.4.4")] == [400, 400, 429]

    def test_does_not_limit_requests_if_the_cache_cannot_be_reached(self, api, low_limits, monkeypatch):
        from redis.exceptions import ConnectionError as CacheConnectionError

        def fail(*args, **kwargs):
            raise CacheConnectionError

        monkeypatch.setattr(cache, "add", fail)
        client = api(UserFactory.create())

        assert statuses(lambda: client.get("/api/me"), 5) == [200] * 5

    def test_allows_the_documented_rates_by_default(self, settings):
        assert settings.THROTTLES["user"] >= 1_200
        assert settings.THROTTLES["service"] >= 60_000
