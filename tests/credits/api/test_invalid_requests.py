"""Invalid owners, idempotency keys, tokens and bodies of requests that write: nothing is written."""

from datetime import timedelta
from uuid import uuid4

import jwt
import pytest
from django.conf import settings

from fluxori.core import clock
from fluxori.identity import tokens
from tests.credits.api.requests import (
    ADD,
    ADDITION,
    ALLOCATE,
    BODIES,
    DEDUCT,
    DEDUCTION,
    INITIALIZE,
    TIER,
    send,
    send_text,
)
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import MembershipFactory, OrganizationFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.problems import problem_of
from tests.support.times import HOUR

pytestmark = pytest.mark.django_db


class TestOwners:
    @pytest.mark.parametrize("path", [ADD, INITIALIZE, TIER, ALLOCATE])
    @pytest.mark.parametrize("both", [True, False])
    def test_must_be_exactly_one(self, admin, subscriber, path, both):
        owners = {"userId": str(subscriber.pk), "organizationId": str(OrganizationFactory.create().pk)} if both else {}
        before = table_digests()

        rejected = send(admin, path, {**BODIES[path], **owners})

        assert problem_of(rejected) == (400, "invalid", [("userId", "exactly_one_owner")])
        assert table_digests() == before

    @pytest.mark.parametrize("path", [ADD, INITIALIZE, TIER, ALLOCATE])
    @pytest.mark.parametrize("kind", ["user", "organization"])
    def test_must_exist(self, admin, path, kind):
        before = table_digests()

        rejected = send(admin, path, {**BODIES[path], f"{kind}Id": str(uuid4())})

        assert problem_of(rejected) == (404, f"{kind}_not_found", [])
        assert table_digests() == before

    def test_another_organization_is_not_found_whether_or_not_it_exists(self, api, subscriber):
        pool = MembershipFactory.create().organization
        make_balance(pool)
        before = table_digests()

        existing = api(subscriber).post(DEDUCT, {**DEDUCTION, "organizationId": str(pool.pk)})
        missing = api(subscriber).post(DEDUCT, {**DEDUCTION, "organizationId": str(uuid4())})

        assert problem_of(existing) == problem_of(missing) == (404, "organization_not_found", [])
        assert table_digests() == before

    def test_viewers_cannot_spend_from_a_pool(self, api):
        membership = MembershipFactory.create(role="viewer")
        make_balance(membership.organization)
        before = table_digests()

        rejected = api(membership.user).post(DEDUCT, {**DEDUCTION, "organizationId": str(membership.organization.pk)})

        assert problem_of(rejected) == (403, "permission_denied", [])
        assert table_digests() == before

    def test_plain_users_cannot_name_another_user(self, api, subscriber):
        before = table_digests()

        rejected = api(UserFactory.create()).post(DEDUCT, {**DEDUCTION, "userId": str(subscriber.pk)})

        assert problem_of(rejected) == (403, "permission_denied", [])
        assert table_digests() == before


class TestIdempotencyKeys:
    @pytest.mark.parametrize("path", BODIES)
    @pytest.mark.parametrize(("key", "code"), [("x" * 300, "key_too_long"), ("a\tb", "wrong_type")])
    def test_must_be_short_and_printable(self, admin, subscriber, path, key, code):
        before = table_digests()

        rejected = send(admin, path, {**BODIES[path], "userId": str(subscriber.pk)}, headers={"Idempotency-Key": key})

        assert problem_of(rejected) == (400, "invalid", [("Idempotency-Key", code)])
        assert table_digests() == before

    @pytest.mark.parametrize("path", [ADD, TIER])
    def test_are_rejected_for_another_body(self, admin, subscriber, path):
        body = {**BODIES[path], "userId": str(subscriber.pk)}
        other = {**body, **({"tier": "pro"} if path == TIER else {"amount": 10})}
        key = {"Idempotency-Key": "k"}
        send(admin, path, body, headers=key)
        before = table_digests()

        rejected = send(admin, path, other, headers=key)

        assert problem_of(rejected) == (422, "idempotency_key_reused", [])
        assert table_digests() == before

    def test_are_rejected_for_another_endpoint(self, admin, subscriber):
        key = {"Idempotency-Key": "k"}
        send(admin, ADD, {**ADDITION, "userId": str(subscriber.pk)}, headers=key)
        before = table_digests()

        rejected = send(admin, ALLOCATE, {"userId": str(subscriber.pk)}, headers=key)

        assert problem_of(rejected) == (422, "idempotency_key_reused", [])
        assert table_digests() == before


class TestTokens:
    @pytest.mark.parametrize("kind", ["expired", "of the wrong type", "not signed", "signed by another", "no token"])
    def test_are_rejected_if_expired_forged_or_of_the_wrong_type(self, api, subscriber, kind):
        pair = tokens.issue(subscriber)
        claims = jwt.decode(pair.access, options={"verify_signature": False})
        an_hour_ago = int((clock.now() - HOUR).timestamp())
        invalid_tokens = {
            "expired": jwt.encode({**claims, "exp": an_hour_ago}, settings.SECRET_KEY, "HS256"),
            "of the wrong type": pair.refresh,
            "not signed": jwt.encode(claims, "", "none"),
            "signed by another": jwt.encode(claims, "some other key of a decent length, at last", "HS256"),
            "no token": "abc",
        }
        before = table_digests()

        rejected = api().post(DEDUCT, DEDUCTION, headers={"Authorization": f"Bearer {invalid_tokens[kind]}"})

        assert problem_of(rejected) == (401, "token_not_valid", [])
        assert rejected["WWW-Authenticate"] == "Bearer"
        assert table_digests() == before

    def test_are_accepted_if_valid(self, api, subscriber):
        claims = jwt.decode(tokens.issue(subscriber).access, options={"verify_signature": False})
        in_a_minute = int((clock.now() + timedelta(minutes=1)).timestamp())
        valid_token = jwt.encode({**claims, "exp": in_a_minute}, settings.SECRET_KEY, "HS256")

        assert api().post(DEDUCT, DEDUCTION, headers={"Authorization": f"Bearer {valid_token}"}).status_code == 200


class TestBodies:
    @pytest.mark.parametrize("path", [DEDUCT, ADD, INITIALIZE, ALLOCATE])
    def test_of_ten_mebibytes_are_rejected(self, admin, path):
        before = table_digests()

        rejected = send_text(admin, path, '{"description": "' + "x" * (10 * 1024 * 1024) + '"}')

        assert problem_of(rejected) == (413, "payload_too_large", [])
        assert table_digests() == before

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "NaN",
            '{"amount": NaN, "description": "x"}',
            '{"amount": 9, "amount": 10, "description": "x"}',
            '{"metadata": ' + "[" * 40 + "]" * 40 + "}",
            '{"metadata": ' + "[" * 30_000 + "]" * 30_000 + "}",
        ],
    )
    def test_that_are_not_json_are_malformed(self, api, subscriber, text):
        before = table_digests()

        rejected = send_text(api(subscriber), DEDUCT, text)

        assert problem_of(rejected) == (400, "malformed", [])
        assert table_digests() == before

    def test_that_are_not_objects_are_rejected(self, api, subscriber):
        before = table_digests()

        assert send_text(api(subscriber), DEDUCT, "[]").status_code == 400
        assert table_digests() == before

    def test_of_another_media_type_are_rejected(self, api, subscriber):
        before = table_digests()

        rejected = api(subscriber).generic(
            "POST", DEDUCT, "amount=9&description=x", "application/x-www-form-urlencoded"
        )

        assert problem_of(rejected) == (415, "unsupported_media_type", [])
        assert table_digests() == before

    @pytest.mark.parametrize("path", sorted(set(BODIES) - {"/api/credits/tier"}))  # DELETE ends a subscription
    def test_have_the_methods_of_the_contract_only(self, admin, path):
        assert problem_of(admin.delete(path)) == (405, "method_not_allowed", [])


class TestUnknownPaths:
    @pytest.mark.parametrize("path", ["alerts"])
    def test_are_not_found_as_a_problem_document(self, admin, path):
        assert problem_of(admin.post(f"/api/credits/{path}", {})) == (404, "not_found", [])
