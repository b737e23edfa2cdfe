"""The bound on password hashing."""

from threading import Event

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher, make_password
from django.test import Client
from django.urls import reverse

from fluxori.identity import hashers
from fluxori.identity.models import User
from tests.support.threads import run_concurrently

PATH = "fluxori.identity.hashers.BoundedPBKDF2PasswordHasher"
PASSWORD = "correct horse battery staple"


@pytest.fixture
def bounded(settings, monkeypatch):
    settings.PASSWORD_HASHERS = [PATH]
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 100)


@pytest.fixture
def occupied(bounded):
    """Hold every slot while the test runs."""
    slots = hashers.BoundedPBKDF2PasswordHasher._slots
    assert slots.acquire(blocking=False)
    yield
    slots.release()


class TestBoundedHasher:
    def test_concurrent_hashes_beyond_the_bound_are_busy(self, bounded, monkeypatch):
        started, may_end = Event(), Event()
        encode = PBKDF2PasswordHasher.encode

        def slow(*args):
            started.set()
            may_end.wait(20)
            return encode(*args)

        monkeypatch.setattr(PBKDF2PasswordHasher, "encode", slow)

        def second():
            started.wait(20)
            try:
                return make_password(PASSWORD)
            finally:
                may_end.set()

        outcomes = run_concurrently([lambda: make_password(PASSWORD), second])

        assert outcomes[0].startswith("pbkdf2_sha256$")
        assert outcomes[1] == "busy"

    def test_a_slot_is_free_again_after_each_hash(self, bounded):
        assert len({make_password(PASSWORD) for _ in range(3)}) == 3

    def test_a_slot_is_free_again_after_an_error(self, bounded):
        with pytest.raises(TypeError):
            make_password(PASSWORD, salt=7)  # type: ignore[arg-type]

        assert make_password(PASSWORD)


@pytest.mark.django_db
class TestLogin:
    @pytest.fixture
    def account(self, bounded):
        return User.objects.create_superuser("admin@staff.test", PASSWORD)

    def test_over_the_api_is_busy_and_says_when_to_try_again(self, account, occupied, api):
        response = api().post("/api/auth/token", {"email": account.email, "password": PASSWORD})

        assert (response.status_code, response.json()["code"]) == (503, "busy")
        assert response["Retry-After"] == "1"

    def test_in_the_admin_is_busy(self, account, occupied):
        page = reverse("admin:login")

        response = Client().post(page, {"username": account.email, "password": PASSWORD})

        assert response.status_code == 200
        assert "try again in a moment" in response.content.decode()
