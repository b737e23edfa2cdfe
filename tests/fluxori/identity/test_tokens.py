from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import jwt
import pytest
from django.conf import settings
from django.db import connection

from fluxori.identity import tokens
from fluxori.identity.errors import TokenNotValidError
from tests.support.database import as_owner
from tests.support.factories.identity import PASSWORD, AdminFactory, UserFactory

pytestmark = pytest.mark.django_db


def status_and_code(response):
    return response.status_code, response.json()["code"]


LATER = datetime.now(UTC) + timedelta(minutes=10)  # noqa: TID251 - signed and checked with the real clock


def signed(user, key=settings.SECRET_KEY, algorithm="HS256", lifetime=timedelta(minutes=5), **claims):
    """Return a token like those the project issues, with other claims, key or algorithm."""
    issued_at = datetime.now(UTC)  # noqa: TID251
    claims_to_sign = {
        "sub": str(user.pk),
        "role": "user",
        "token_type": "access",
        "jti": "1",
        "iat": issued_at,
        "exp": issued_at + lifetime,
    }
    return jwt.encode(
        {name: value for name, value in (claims_to_sign | claims).items() if value is not None}, key, algorithm
    )


def me(api, token):
    return api().get("/api/me", headers={"authorization": f"Bearer {token}"})


class TestLogIn:
    def test_returns_tokens_with_the_documented_claims_and_lifetimes(self, api):
        admin = AdminFactory.create(email="Thandi@Example.com")

        response = api().post("/api/auth/token", {"email": "THANDI@example.COM", "password": PASSWORD})

        assert response.status_code == 200
        access = jwt.decode(response.json()["access"], options={"verify_signature": False})
        refresh = jwt.decode(response.json()["refresh"], options={"verify_signature": False})
        assert set(access) == {"sub", "role", "token_type", "jti", "iat", "exp"}
        assert (access["sub"], access["role"], access["token_type"]) == (str(admin.pk), "admin", "access")
        assert (access["exp"] - access["iat"], refresh["exp"] - refresh["iat"]) == (15 * 60, 14 * 24 * 60 * 60)
        assert me(api, response.json()["access"]).status_code == 200

    @pytest.mark.parametrize("reason", ["nobody", "wrong", "inactive", "passwordless"])
    def test_has_the_same_error_for_every_reason(self, api, reason):
        UserFactory.create(
            email="me@example.com",
            is_active=reason != "inactive",
            password=None if reason == "passwordless" else "another one" if reason == "wrong" else PASSWORD,
        )
        email = "nobody@example.com" if reason == "nobody" else "me@example.com"

        response = api().post("/api/auth/token", {"email": email, "password": PASSWORD})

        assert status_and_code(response) == (401, "invalid_credentials")
        assert response.json()["detail"] == "The e-mail address or the password is wrong."
        assert response["WWW-Authenticate"] == "Bearer"

    def test_hashes_a_password_even_if_the_account_does_not_exist(self, api, monkeypatch):
        hashed: list[str] = []

        def encode(hasher, password, salt):
            hashed.append(password)
            return "md5$salt$hash"

        monkeypatch.setattr("django.contrib.auth.hashers.MD5PasswordHasher.encode", encode)

        api().post("/api/auth/token", {"email": "nobody@example.com", "password": PASSWORD})

        assert hashed == [PASSWORD]

    def test_names_missing_and_unknown_fields(self, api):
        response = api().post("/api/auth/token", {"email": "", "remember": True})

        assert {e["field"]: e["code"] for e in response.json()["errors"]} == {
            "email": "required",
            "password": "required",
            "remember": "unknown_field",
        }

    def test_stores_no_usable_token_in_the_database(self, api):
        pair = tokens.log_in(email=UserFactory.create().email, password=PASSWORD)

        with connection.cursor() as cursor:
            cursor.execute("SELECT token FROM token_blacklist_outstandingtoken")
            assert cursor.fetchall() == [("",)]
        assert tokens.rotate(pair.refresh)


class TestBearerAuthentication:
    @pytest.mark.parametrize(
        "flaw",
        [
            {"lifetime": timedelta(seconds=-10)},
            {"iat": LATER},
            {"nbf": LATER},
            {"sub": None},
            {"sub": ""},
            {"sub": "nobody"},
            {"sub": "a\0b"},
            {"token_type": "refresh"},
            {"token_type": None},
            {"jti": None},
            {"exp": None},
            {"exp": "soon"},
            {"exp": 10**20},
            {"key": "another key, that is long enough for HS256"},
            {"algorithm": "HS512"},
            {"algorithm": "none", "key": None},
        ],
        ids=lambda flaw: ",".join(
            f"{name}={value}" if value is not LATER else f"{name}=later" for name, value in flaw.items()
        ),
    )
    def test_rejects_a_token_with_an_invalid_claim_signature_or_algorithm(self, api, flaw):
        user = UserFactory.create()
        assert me(api, signed(user)).status_code == 200

        response = me(api, signed(user, **flaw))

        assert status_and_code(response) == (401, "token_not_valid")
        assert response["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize("sub", ["{%s}", "urn:uuid:%s", " %s"])
    def test_rejects_another_spelling_of_the_id_of_a_user(self, api, sub):
        user = UserFactory.create()

        assert status_and_code(me(api, signed(user, sub=sub % user.pk))) == (401, "token_not_valid")

    @pytest.mark.parametrize("claim", ["iat", "nbf", "exp"])
    def test_tolerates_a_clock_that_differs_by_some_seconds(self, api, claim):
        at = datetime.now(UTC) + timedelta(seconds=-3 if claim == "exp" else 3)  # noqa: TID251

        assert me(api, signed(UserFactory.create(), **{claim: at})).status_code == 200

    @pytest.mark.parametrize("jti", ["a\0b", "", {"id": 1}, "unknown"])
    def test_rejects_a_refresh_token_with_an_invalid_id(self, api, jti):
        token = signed(UserFactory.create(), token_type="refresh", jti=jti)

        response = api().post("/api/auth/token/refresh", {"refresh": token})

        assert status_and_code(response) == (401, "token_not_valid")

    def test_rejects_a_refresh_token(self, api):
        assert status_and_code(me(api, tokens.issue(UserFactory.create()).refresh)) == (401, "token_not_valid")

    @pytest.mark.parametrize(
        "header", ["Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Basic bWU6bWU=", "Token x", "é"]
    )
    def test_rejects_an_invalid_header(self, api, header):
        response = api().get("/api/me", headers={"authorization": header})

        assert status_and_code(response) == (401, "token_not_valid")

    def test_accepts_the_scheme_in_any_case(self, api):
        access = tokens.issue(UserFactory.create()).access

        assert api().get("/api/me", headers={"authorization": f"bearer {access}"}).status_code == 200

    def test_rejects_the_token_of_a_deactivated_user(self, api):
        user = UserFactory.create()
        access = tokens.issue(user).access
        assert me(api, access).status_code == 200

        user.is_active = False
        user.save()

        assert status_and_code(me(api, access)) == (401, "token_not_valid")

    def test_rejects_the_token_of_a_deleted_user(self, api):
        user = UserFactory.create()
        access = tokens.issue(user).access
        # The application deactivates users; it may not change the history tables, which refer to them.
        with as_owner():
            user.delete()

        assert status_and_code(me(api, access)) == (401, "token_not_valid")

    def test_uses_the_role_in_the_database_and_not_the_claim(self, api):
        user = UserFactory.create()
        token = signed(user, role="admin")

        assert status_and_code(api().get("/api/users", headers={"authorization": f"Bearer {token}"})) == (
            403,
            "permission_denied",
        )
        user.role = "admin"
        user.save()
        assert api().get("/api/users", headers={"authorization": f"Bearer {token}"}).status_code == 200

    def test_reads_the_user_in_one_query(self, api, django_assert_num_queries):
        access = tokens.issue(UserFactory.create()).access

        with django_assert_num_queries(1):
            tokens.user_from_access_token(access)


class TestRotate:
    def test_returns_a_new_pair_and_revokes_the_old_token(self, api):
        user = UserFactory.create()
        first = tokens.issue(user)

        response = api().post("/api/auth/token/refresh", {"refresh": first.refresh})

        assert response.status_code == 200
        assert me(api, response.json()["access"]).json()["id"] == str(user.pk)
        assert api().post("/api/auth/token/refresh", {"refresh": response.json()["refresh"]}).status_code == 200
        assert status_and_code(api().post("/api/auth/token/refresh", {"refresh": first.refresh})) == (
            401,
            "token_not_valid",
        )

    def test_issues_tokens_with_the_current_role(self):
        user = UserFactory.create()
        first = tokens.issue(user)
        user.role = "service"
        user.save()

        renewed = tokens.rotate(first.refresh)

        assert jwt.decode(renewed.access, options={"verify_signature": False})["role"] == "service"

    @pytest.mark.parametrize("kind", ["access", "garbage", "inactive", "forgotten"])
    def test_rejects_a_token_that_is_not_a_valid_refresh_token(self, api, kind):
        user = UserFactory.create()
        pair = tokens.issue(user)
        if kind == "inactive":
            user.is_active = False
            user.save()
        token = {"access": pair.access, "garbage": "x", "forgotten": signed(user, token_type="refresh")}
        payload = {"refresh": token.get(kind, pair.refresh)}

        assert status_and_code(api().post("/api/auth/token/refresh", payload)) == (401, "token_not_valid")


@pytest.mark.django_db(transaction=True)
class TestRotateConcurrently:
    def test_succeeds_for_exactly_one_of_four_calls_with_the_same_token(self):
        refresh = tokens.issue(UserFactory.create()).refresh
        callers = 4
        barrier = Barrier(callers)

        def attempt(_):
            barrier.wait()
            try:
                tokens.rotate(refresh)
            except TokenNotValidError:
                return "rejected"
            else:
                return "renewed"
            finally:
                connection.close()

        with ThreadPoolExecutor(max_workers=callers) as pool:
            outcomes = list(pool.map(attempt, range(callers)))

        assert sorted(outcomes) == ["rejected", "rejected", "rejected", "renewed"]


class TestVerify:
    def test_accepts_valid_access_and_refresh_tokens(self, api):
        pair = tokens.issue(UserFactory.create())

        for token in (pair.access, pair.refresh):
            response = api().post("/api/auth/token/verify", {"token": token})
            assert (response.status_code, response.json()) == (200, {})

    def test_rejects_invalid_revoked_and_expired_tokens(self, api):
        user = UserFactory.create()
        revoked = tokens.issue(user).refresh
        tokens.revoke(revoked)

        for token in ("x", revoked, signed(user, lifetime=timedelta(seconds=-10))):
            assert status_and_code(api().post("/api/auth/token/verify", {"token": token})) == (401, "token_not_valid")


class TestLogout:
    def test_revokes_the_refresh_token(self, api):
        refresh = tokens.issue(UserFactory.create()).refresh

        response = api().post("/api/auth/logout", {"refresh": refresh})

        assert (response.status_code, response.content) == (204, b"")
        assert status_and_code(api().post("/api/auth/token/refresh", {"refresh": refresh})) == (401, "token_not_valid")
        assert status_and_code(api().post("/api/auth/logout", {"refresh": refresh})) == (401, "token_not_valid")
