"""Tokens of an external issuer. The tests run one on the loopback interface; it publishes its keys over HTTP."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from fluxori.identity import external_issuer, tokens
from tests.support.factories.identity import UserFactory

pytestmark = pytest.mark.django_db

ISSUER = "https://login.partner.example"
AUDIENCE = "fluxori-credits"


LATER = datetime.now(UTC) + timedelta(minutes=10)  # noqa: TID251 - signed and checked with the real clock


class LocalIssuer:
    def __init__(self):
        self.keys = {"first": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
        self.fetches = 0
        self.raw_response = None
        issuer = self

        class Keys(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.fetches += 1
                body = issuer.raw_response or json.dumps(issuer.published()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                """Log nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Keys)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        # ``shutdown`` waits for the end of a polling interval, which is half a second by default.
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()

    def published(self):
        extra = {"use": "sig", "alg": "RS256"}
        to_jwk = jwt.algorithms.RSAAlgorithm.to_jwk
        return {"keys": [{**to_jwk(k.public_key(), as_dict=True), "kid": n, **extra} for n, k in self.keys.items()]}

    def sign(self, subject, kid="first", key=None, algorithm="RS256", lifetime=300, **claims):
        at = datetime.now(UTC)  # noqa: TID251
        extra = {"sub": subject, "iss": ISSUER, "aud": AUDIENCE, "iat": at, "exp": at + timedelta(seconds=lifetime)}
        extra = {name: value for name, value in (extra | claims).items() if value is not None}
        return jwt.encode(extra, key or self.keys[kid], algorithm, headers={"kid": kid})

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def issuer(settings):
    external_issuer._key_client.cache_clear()
    external_issuer._verified.clear()
    local = LocalIssuer()
    settings.OIDC_ISSUER = {"jwks_url": local.url, "issuer": ISSUER, "audience": AUDIENCE}
    yield local
    local.close()


def me(api, token):
    return api().get("/api/me", headers={"authorization": f"Bearer {token}"})


def status_and_code(response):
    return response.status_code, response.json()["code"]


class TestExternalToken:
    def test_authenticates_the_user_with_this_external_id(self, api, issuer):
        user = UserFactory.create(external_id="partner|7")

        assert me(api, issuer.sign("partner|7")).json()["id"] == str(user.pk)

    def test_authenticates_the_user_with_this_id(self, api, issuer):
        user = UserFactory.create()

        assert me(api, issuer.sign(str(user.pk))).json()["id"] == str(user.pk)

    @pytest.mark.parametrize("spelling", ["{%s}", "urn:uuid:%s"])
    def test_with_another_spelling_of_an_id_authenticates_nobody(self, api, issuer, spelling):
        user = UserFactory.create()

        assert status_and_code(me(api, issuer.sign(spelling % user.pk))) == (401, "token_not_valid")

    @pytest.mark.parametrize("claim", ["iat", "nbf", "exp"])
    def test_tolerates_a_clock_that_differs_by_some_seconds(self, api, issuer, claim):
        UserFactory.create(external_id="partner|7")
        at = datetime.now(UTC) + timedelta(seconds=-3 if claim == "exp" else 3)  # noqa: TID251

        assert me(api, issuer.sign("partner|7", **{claim: at})).status_code == 200

    def test_prefers_the_external_id_to_the_id(self, api, issuer):
        by_id = UserFactory.create()
        by_name = UserFactory.create(external_id=str(by_id.pk))

        assert me(api, issuer.sign(str(by_id.pk))).json()["id"] == str(by_name.pk)

    def test_does_not_change_the_projects_own_tokens(self, api, issuer):
        assert me(api, tokens.issue(UserFactory.create()).access).status_code == 200
        assert issuer.fetches == 0

    def test_cannot_set_the_role(self, api, issuer):
        UserFactory.create(external_id="partner|7")
        token = issuer.sign("partner|7", role="admin")

        response = api().get("/api/users", headers={"authorization": f"Bearer {token}"})

        assert status_and_code(response) == (403, "permission_denied")

    @pytest.mark.parametrize(
        "flaw",
        [
            {"subject": "nobody"},
            {"subject": None},
            {"subject": "a\0b"},
            {"iss": "https://evil.example"},
            {"aud": "another-service"},
            {"aud": None},
            {"iss": None},
            {"exp": None},
            {"lifetime": -10},
            {"iat": LATER},
            {"nbf": LATER},
            {"exp": float("inf")},
            {"key": rsa.generate_private_key(public_exponent=65537, key_size=2048)},
            {"kid": "made-up", "key": rsa.generate_private_key(public_exponent=65537, key_size=2048)},
            {"algorithm": "HS256", "key": "a public key, taken for a shared secret"},
            {"algorithm": "RS512"},
        ],
        ids=lambda flaw: ",".join(
            f"{name}={str(value)[:20]}" if value is not LATER else f"{name}=later" for name, value in flaw.items()
        ),
    )
    def test_is_rejected_with_an_invalid_claim_signature_or_algorithm(self, api, issuer, flaw):
        UserFactory.create(external_id="partner|7")

        assert status_and_code(me(api, issuer.sign(**{"subject": "partner|7", **flaw}))) == (401, "token_not_valid")

    def test_is_rejected_for_a_deactivated_user(self, api, issuer):
        UserFactory.create(external_id="partner|7", is_active=False)

        assert status_and_code(me(api, issuer.sign("partner|7"))) == (401, "token_not_valid")

    def test_is_rejected_if_no_issuer_is_configured(self, api, issuer, settings):
        UserFactory.create(external_id="partner|7")
        settings.OIDC_ISSUER = None

        assert status_and_code(me(api, issuer.sign("partner|7"))) == (401, "token_not_valid")


class TestVerifiedExternalToken:
    def test_of_a_deactivated_user_is_rejected(self, api, issuer):
        user = UserFactory.create(external_id="partner|7")
        token = issuer.sign("partner|7")
        assert me(api, token).status_code == 200
        user.is_active = False
        user.save()

        assert status_and_code(me(api, token)) == (401, "token_not_valid")

    def test_is_rejected_a_minute_after_the_issuer_has_withdrawn_its_key(self, api, issuer, monkeypatch):
        UserFactory.create(external_id="partner|7")
        token = issuer.sign("partner|7")
        assert me(api, token).status_code == 200
        issuer.keys = {"second": issuer.keys["first"]}
        external_issuer._key_client.cache_clear()  # the keys are fetched again after five minutes

        assert me(api, token).status_code == 200
        later = time() + external_issuer.REMEMBERED_SECONDS
        monkeypatch.setattr("fluxori.identity.verified_tokens.time", lambda: later)
        assert status_and_code(me(api, token)) == (401, "token_not_valid")

    def test_is_rejected_for_another_audience_of_the_settings(self, api, issuer, settings):
        UserFactory.create(external_id="partner|7")
        token = issuer.sign("partner|7")
        assert me(api, token).status_code == 200
        settings.OIDC_ISSUER = {**settings.OIDC_ISSUER, "audience": "another"}

        assert status_and_code(me(api, token)) == (401, "token_not_valid")


class TestIssuerKeys:
    def test_are_fetched_once_for_many_tokens(self, api, issuer):
        UserFactory.create(external_id="partner|7")

        for _ in range(3):
            assert me(api, issuer.sign("partner|7")).status_code == 200

        assert issuer.fetches == 1

    def test_are_not_fetched_again_for_each_unknown_key_id(self, api, issuer):
        unknown_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

        for n in range(3):
            assert me(api, issuer.sign("partner|7", kid=f"made-up-{n}", key=unknown_key)).status_code == 401

        assert issuer.fetches == 1

    def test_are_fetched_again_after_the_issuer_rotates_them(self, api, issuer, monkeypatch):
        monkeypatch.setattr(external_issuer, "KEY_FETCH_COOLDOWN_SECONDS", 0)
        UserFactory.create(external_id="partner|7")
        assert me(api, issuer.sign("partner|7")).status_code == 200

        issuer.keys = {"second": rsa.generate_private_key(public_exponent=65537, key_size=2048)}

        assert me(api, issuer.sign("partner|7", kid="second")).status_code == 200

    def test_that_are_not_json_cause_503_busy(self, api, issuer):
        issuer.raw_response = b"<html>maintenance</html>"

        assert status_and_code(me(api, issuer.sign("partner|7"))) == (503, "busy")

    def test_that_cannot_be_fetched_cause_503_busy_and_not_401(self, api, issuer):
        token = issuer.sign("partner|7")
        issuer.close()

        response = me(api, token)

        assert status_and_code(response) == (503, "busy")
        assert response["Retry-After"] == "1"
