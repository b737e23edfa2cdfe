"""A token is verified once in each process; whether it is still valid is decided at each request."""

from datetime import UTC, datetime, timedelta
from time import time

import jwt
import pytest
from django.conf import settings as django_settings

from fluxori.identity import tokens
from fluxori.identity.errors import TokenNotValidError
from fluxori.identity.verified_tokens import VerifiedTokens
from tests.support.factories.identity import UserFactory

KEY = "a key"


def access_token(user, *, seconds=300.0):
    at = datetime.now(UTC)  # noqa: TID251 - signed and checked with the real clock
    claims = {
        "sub": str(user.pk),
        "token_type": "access",
        "jti": "1",
        "iat": at,
        "exp": at + timedelta(seconds=seconds),
    }
    return jwt.encode(claims, django_settings.SECRET_KEY, "HS256")


@pytest.fixture
def verifications(monkeypatch):
    """Return a list to which each verification of a signature adds an entry."""
    calls = []
    decode = jwt.PyJWS.decode_complete

    def count(*arguments, **options):
        calls.append(1)
        return decode(*arguments, **options)

    monkeypatch.setattr(jwt.PyJWS, "decode_complete", count)
    return calls


class TestVerifiedTokens:
    def test_returns_the_subject_until_the_time_of_expiry(self):
        verified = VerifiedTokens()
        verified.remember("valid", "thandi", key=KEY, until=time() + 60)
        verified.remember("expired", "thandi", key=KEY, until=time())

        assert verified.subject_of("valid", key=KEY) == "thandi"
        assert verified.subject_of("expired", key=KEY) is None

    def test_does_not_know_another_token_or_another_key(self):
        verified = VerifiedTokens()
        verified.remember("token", "thandi", key=KEY, until=time() + 60)

        assert verified.subject_of("tokem", key=KEY) is None
        assert verified.subject_of("token", key="the next key") is None

    def test_stores_no_token(self):
        verified = VerifiedTokens()
        verified.remember("secret-token", "thandi", key=KEY, until=time() + 60)

        assert "secret-token" not in str(verified._entries)

    def test_forgets_the_oldest_token_when_it_is_full(self):
        verified = VerifiedTokens(size=2)
        for number in range(3):
            verified.remember(str(number), "thandi", key=KEY, until=time() + 60)

        assert [verified.subject_of(str(number), key=KEY) for number in range(3)] == [None, "thandi", "thandi"]


@pytest.mark.django_db
class TestUserFromAccessToken:
    def test_verifies_a_token_once(self, verifications):
        user = UserFactory.create()
        token = access_token(user)

        assert [tokens.user_from_access_token(token).pk for _ in range(3)] == [user.pk] * 3
        assert len(verifications) == 1

    def test_reads_the_user_each_time(self, django_assert_num_queries):
        token = access_token(UserFactory.create())

        for _ in range(2):
            with django_assert_num_queries(1):
                tokens.user_from_access_token(token)

    def test_rejects_a_verified_token_of_a_user_who_is_deactivated(self):
        user = UserFactory.create()
        token = access_token(user)
        tokens.user_from_access_token(token)
        user.is_active = False
        user.save()

        with pytest.raises(TokenNotValidError):
            tokens.user_from_access_token(token)

    def test_rejects_a_verified_token_after_its_expiry(self, settings, monkeypatch):
        token = access_token(UserFactory.create(), seconds=100)
        tokens.user_from_access_token(token)
        later = time() + 100 + settings.TOKEN_LEEWAY_SECONDS

        # The clocks of the memory and of the library that verifies again.
        class Later(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.fromtimestamp(later, tz)

        monkeypatch.setattr("fluxori.identity.verified_tokens.time", lambda: later)
        monkeypatch.setattr("jwt.api_jwt.datetime", Later)
        with pytest.raises(TokenNotValidError):
            tokens.user_from_access_token(token)

    @pytest.mark.parametrize("part", [0, 1, 2])
    def test_rejects_a_verified_token_of_which_one_character_was_changed(self, part):
        token = access_token(UserFactory.create())
        tokens.user_from_access_token(token)
        parts = token.split(".")
        parts[part] = parts[part][:4] + ("A" if parts[part][4] != "A" else "B") + parts[part][5:]

        with pytest.raises(TokenNotValidError):
            tokens.user_from_access_token(".".join(parts))

    def test_verifies_a_token_again_if_the_key_is_another_one(self, settings, verifications):
        token = access_token(UserFactory.create())
        tokens.user_from_access_token(token)
        settings.SIMPLE_JWT = {**settings.SIMPLE_JWT, "SIGNING_KEY": "the next key, which is long enough for HS256"}

        # The library reads the key when the process starts, so the old one is still valid here.
        tokens.user_from_access_token(token)

        assert len(verifications) == 2

    def test_does_not_remember_a_token_that_was_rejected(self, verifications):
        user = UserFactory.create(is_active=False)
        token = access_token(user)

        for _ in range(2):
            with pytest.raises(TokenNotValidError):
                tokens.user_from_access_token(token)
        assert len(verifications) == 2
