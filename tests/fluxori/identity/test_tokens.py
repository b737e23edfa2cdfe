from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import jwt
import pytest
from django.conf import settings
from django.db import connection

from fluxori.identity import tokens
from fluxori.identity.errors import TokenNotValidError
from tests.support.factories.identity import PASSWORD, AdminFactory, UserFactory

pytestmark = pytest.mark.django_db


def told(response):
    return response.status_code, response.json()["code"]


def signed(user, key=settings.SECRET_KEY, algorithm="HS256", lifetime=timedelta(minutes=5), **claims):
    """Return a token such as we would issue, but for what is told."""
    issued_at = datetime.now(UTC)  # noqa: TID251
    said = {
        "sub": str(user.pk),
        "role": "user",
        "token_type": "access",
        "jti": "1",
        "iat": issued_at,
        "exp": issued_at + lifetime,
    }
    return jwt.encode({name: value for name, value in (said | claims).items() if value is not None}, key, algorithm)


def me(api, token):
    return api().get("/api/me", headers={"authorization": f"Bearer {token}"})


class TestLogIn:
    def test_answers_a_pair_that_says_who_and_what(self, api):
        admin = AdminFactory.create(email="Thandi@Example.com")

        response = api().post("/api/auth/token", {"email": "THANDI@example.COM", "password": PASSWORD})

        assert response.status_code == 200
        access = jwt.decode(response.json()["access"], options={"verify_signature": False})
        refresh = jwt.decode(response.json()["refresh"], options={"verify_signature": False})
        assert set(access) == {"sub", "role", "token_type", "jti", "iat", "exp"}
        assert (access["sub"], access["role"], access["token_type"]) == (str(admin.pk), "admin", "access")
        assert (access["exp"] - access["iat"], refresh["exp"] - refresh["iat"]) == (15 * 60, 14 * 24 * 60 * 60)
        assert me(api, response.json()["access"]).status_code == 200

    @pytest.mark.parametrize("who", ["nobody", "wrong", "inactive", "passwordless"])
    def test_does_not_tell_why_it_refuses(self, api, who):
        UserFactory.create(
            email="me@example.com",
            is_active=who != "inactive",
            password=None if who == "passwordless" else "another one" if who == "wrong" else PASSWORD,
        )
        email = "nobody@example.com" if who == "nobody" else "me@example.com"

        response = api().post("/api/auth/token", {"email": email, "password": PASSWORD})

        assert told(response) == (401, "invalid_credentials")
        assert response.json()["detail"] == "The e-mail address or the password is wrong."
        assert response["WWW-Authenticate"] == "Bearer"

    def test_hashes_a_password_even_for_nobody(self, api, monkeypatch):
        hashed: list[str] = []

        def encode(hasher, password, salt):
            hashed.append(password)
            return "md5$salt$hash"

        monkeypatch.setattr("django.contrib.auth.hashers.MD5PasswordHasher.encode", encode)

        api().post("/api/auth/token", {"email": "nobody@example.com", "password": PASSWORD})

        assert hashed == [PASSWORD]

    def test_names_what_is_missing(self, api):
        response = api().post("/api/auth/token", {"email": "", "remember": True})

        assert {e["field"]: e["code"] for e in response.json()["errors"]} == {
            "email": "required",
            "password": "required",
            "remember": "unknown_field",
        }

    def test_keeps_no_token_in_the_database(self, api):
        pair = tokens.log_in(email=UserFactory.create().email, password=PASSWORD)

        with connection.cursor() as cursor:
            cursor.execute("SELECT token FROM token_blacklist_outstandingtoken")
            assert cursor.fetchall() == [("",)]
        assert tokens.rotate(pair.refresh)


class TestBearer:
    @pytest.mark.parametrize(
        "flaw",
        [
            {"lifetime": timedelta(seconds=-1)},
            {"token_type": "refresh"},
            {"token_type": None},
            {"jti": None},
            {"exp": None},
            {"exp": "soon"},
            {"key": "somebody else's key, that is long enough for HS256"},
            {"algorithm": "HS512"},
            {"algorithm": "none", "key": None},
        ],
        ids=lambda flaw: ",".join(f"{name}={value}" for name, value in flaw.items()),
    )
    def test_refuses_a_token_that_is_not_ours_or_not_in_force(self, api, flaw):
        user = UserFactory.create()
        assert me(api, signed(user)).status_code == 200

        response = me(api, signed(user, **flaw))

        assert told(response) == (401, "token_not_valid")
        assert response["WWW-Authenticate"] == "Bearer"

    def test_refuses_a_refresh_token(self, api):
        assert told(me(api, tokens.issue(UserFactory.create()).refresh)) == (401, "token_not_valid")

    @pytest.mark.parametrize(
        "header", ["Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Basic bWU6bWU=", "Token x", "é"]
    )
    def test_refuses_another_header(self, api, header):
        response = api().get("/api/me", headers={"authorization": header})

        assert told(response) == (401, "token_not_valid")

    def test_takes_the_scheme_in_any_case(self, api):
        access = tokens.issue(UserFactory.create()).access

        assert api().get("/api/me", headers={"authorization": f"bearer {access}"}).status_code == 200

    def test_stops_working_when_the_user_is_deactivated(self, api):
        user = UserFactory.create()
        access = tokens.issue(user).access
        assert me(api, access).status_code == 200

        user.is_active = False
        user.save()

        assert told(me(api, access)) == (401, "token_not_valid")

    def test_stops_working_when_the_user_is_gone(self, api):
        user = UserFactory.create()
        access = tokens.issue(user).access
        user.delete()

        assert told(me(api, access)) == (401, "token_not_valid")

    def test_believes_the_database_about_the_role(self, api):
        user = UserFactory.create()
        claiming = signed(user, role="admin")

        assert told(api().get("/api/users", headers={"authorization": f"Bearer {claiming}"})) == (
            403,
            "permission_denied",
        )
        user.role = "admin"
        user.save()
        assert api().get("/api/users", headers={"authorization": f"Bearer {claiming}"}).status_code == 200

    def test_reads_the_user_in_one_query(self, api, django_assert_num_queries):
        access = tokens.issue(UserFactory.create()).access

        with django_assert_num_queries(1):
            tokens.user_of(access)


class TestRefresh:
    def test_answers_a_new_pair_and_revokes_the_old_token(self, api):
        user = UserFactory.create()
        first = tokens.issue(user)

        response = api().post("/api/auth/token/refresh", {"refresh": first.refresh})

        assert response.status_code == 200
        assert me(api, response.json()["access"]).json()["id"] == str(user.pk)
        assert told(api().post("/api/auth/token/refresh", {"refresh": first.refresh})) == (401, "token_not_valid")
        assert api().post("/api/auth/token/refresh", {"refresh": response.json()["refresh"]}).status_code == 200

    def test_carries_the_role_of_now(self):
        user = UserFactory.create()
        first = tokens.issue(user)
        user.role = "service"
        user.save()

        renewed = tokens.rotate(first.refresh)

        assert jwt.decode(renewed.access, options={"verify_signature": False})["role"] == "service"

    @pytest.mark.parametrize("wrong", ["access", "garbage", "inactive", "forgotten"])
    def test_refuses_what_is_no_refresh_token_in_force(self, api, wrong):
        user = UserFactory.create()
        pair = tokens.issue(user)
        if wrong == "inactive":
            user.is_active = False
            user.save()
        token = {"access": pair.access, "garbage": "x", "forgotten": signed(user, token_type="refresh")}
        asked = {"refresh": token.get(wrong, pair.refresh)}

        assert told(api().post("/api/auth/token/refresh", asked)) == (401, "token_not_valid")


@pytest.mark.django_db(transaction=True)
class TestRefreshUnderContention:
    def test_gives_exactly_one_pair_for_one_token(self):
        refresh = tokens.issue(UserFactory.create()).refresh
        callers = 4
        together = Barrier(callers)

        def attempt(_):
            together.wait()
            try:
                tokens.rotate(refresh)
            except TokenNotValidError:
                return "refused"
            else:
                return "renewed"
            finally:
                connection.close()

        with ThreadPoolExecutor(max_workers=callers) as pool:
            outcomes = list(pool.map(attempt, range(callers)))

        assert sorted(outcomes) == ["refused", "refused", "refused", "renewed"]


class TestVerify:
    def test_accepts_tokens_in_force(self, api):
        pair = tokens.issue(UserFactory.create())

        for token in (pair.access, pair.refresh):
            response = api().post("/api/auth/token/verify", {"token": token})
            assert (response.status_code, response.json()) == (200, {})

    def test_refuses_others(self, api):
        user = UserFactory.create()
        revoked = tokens.issue(user).refresh
        tokens.revoke(revoked)

        for token in ("x", revoked, signed(user, lifetime=timedelta(seconds=-1))):
            assert told(api().post("/api/auth/token/verify", {"token": token})) == (401, "token_not_valid")


class TestLogout:
    def test_revokes_the_refresh_token(self, api):
        refresh = tokens.issue(UserFactory.create()).refresh

        response = api().post("/api/auth/logout", {"refresh": refresh})

        assert (response.status_code, response.content) == (204, b"")
        assert told(api().post("/api/auth/token/refresh", {"refresh": refresh})) == (401, "token_not_valid")
        assert told(api().post("/api/auth/logout", {"refresh": refresh})) == (401, "token_not_valid")
