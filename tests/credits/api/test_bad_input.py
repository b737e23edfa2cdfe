"""Bad input at every door that writes: its documented status and code, the field by name, and nothing written."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from django.conf import settings

from fluxori.core import clock
from fluxori.identity import tokens
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import AdminFactory, MembershipFactory, OrganizationFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.times import HOUR
from tiers.operations import initialize_balance

pytestmark = pytest.mark.django_db

DEDUCT = "/api/credits/deduct"
ADD = "/api/credits/add"
INITIALIZE = "/api/credits/initialize"
TIER = "/api/credits/tier"
PREVIEW = "/api/credits/tier/preview"
ALLOCATE = "/api/credits/monthly-allocation"

SPENT = {"amount": 9, "description": "An insight"}
GIVEN = {"amount": 9, "type": "promotion", "description": "Welcome"}
BODIES: dict[str, dict[str, Any]] = {
    DEDUCT: SPENT,
    ADD: GIVEN,
    INITIALIZE: {"tier": "explorer"},
    TIER: {"tier": "growth"},
    PREVIEW: {"tier": "growth"},
    ALLOCATE: {},
}

NOT_AMOUNTS = [
    ("0", "out_of_range"),
    ("-1", "out_of_range"),
    ("9.5", "wrong_type"),
    ("9.0", "wrong_type"),
    ("9e0", "wrong_type"),
    ('"9"', "wrong_type"),
    ("true", "wrong_type"),
    ("null", "wrong_type"),
    ("[9]", "wrong_type"),
    (str(10**12 + 1), "out_of_range"),
    (str(2**63), "out_of_range"),
    ("1" * 400, "out_of_range"),
]


@pytest.fixture
def ann():
    ann = UserFactory.create()
    initialize_balance(owner=ann, tier="explorer")
    return ann


@pytest.fixture
def admin(api):
    return api(AdminFactory.create())


def send(client, path, body, **more):
    return (client.put if path == TIER else client.post)(path, body, **more)


def send_text(client, path, text):
    return client.generic("POST", path, text, content_type="application/json")


def problem_of(refused):
    told = refused.json()
    assert refused["Content-Type"] == "application/problem+json"
    assert told["status"] == refused.status_code
    return refused.status_code, told["code"], [(e["field"], e["code"]) for e in told.get("errors", [])]


class TestAmounts:
    @pytest.mark.parametrize(("written", "code"), NOT_AMOUNTS)
    def test_of_a_deduction(self, api, ann, written, code):
        before = table_digests()

        refused = send_text(api(ann), DEDUCT, f'{{"amount": {written}, "description": "An insight"}}')

        assert problem_of(refused) == (400, "invalid", [("amount", code)])
        assert table_digests() == before

    @pytest.mark.parametrize(("written", "code"), NOT_AMOUNTS)
    def test_of_units(self, api, ann, written, code):
        before = table_digests()

        refused = send_text(api(ann), DEDUCT, f'{{"feature": "simple-ai-insight", "quantity": {written}}}')

        assert problem_of(refused) == (400, "invalid", [("quantity", code)])
        assert table_digests() == before

    @pytest.mark.parametrize(("written", "code"), NOT_AMOUNTS)
    def test_of_credits_to_add(self, admin, ann, written, code):
        before = table_digests()
        body = f'{{"userId": "{ann.pk}", "amount": {written}, "type": "promotion", "description": "Welcome"}}'

        refused = send_text(admin, ADD, body)

        assert problem_of(refused) == (400, "invalid", [("amount", code)])
        assert table_digests() == before

    @pytest.mark.parametrize(("written", "code"), [row for row in NOT_AMOUNTS if row[0] != "0"])
    def test_of_an_initial_balance(self, admin, written, code):
        before = table_digests()
        body = f'{{"userId": "{UserFactory.create().pk}", "tier": "explorer", "initialBalance": {written}}}'

        refused = send_text(admin, INITIALIZE, body)

        assert problem_of(refused) == (400, "invalid", [("initialBalance", code)])
        assert table_digests() == before

    def test_whose_product_with_the_price_is_too_large(self, api, ann):
        before = table_digests()

        refused = api(ann).post(DEDUCT, {"feature": "ai-generated-report", "quantity": 10**12 // 40 + 1})

        assert problem_of(refused) == (400, "invalid", [("quantity", "out_of_range")])
        assert table_digests() == before


class TestFields:
    @pytest.mark.parametrize("path", BODIES)
    def test_that_nobody_knows_are_named(self, admin, ann, path):
        before = table_digests()
        whose = {} if path == DEDUCT else {"userId": str(ann.pk)}

        refused = send(admin, path, {**BODIES[path], **whose, "colour": "red"})

        assert problem_of(refused) == (400, "invalid", [("colour", "unknown_field")])
        assert table_digests() == before

    def test_spelled_twice_are_refused(self, api, ann):
        before = table_digests()

        refused = api(ann).post(DEDUCT, {**SPENT, "referenceId": "a", "reference_id": "b"})

        assert problem_of(refused) == (400, "invalid", [("reference_id", "unknown_field")])
        assert table_digests() == before

    def test_that_are_all_wrong_are_all_named(self, admin):
        refused = admin.post(ADD, {"userId": "me", "amount": "9", "type": "gift", "colour": "red"})

        status, code, errors = problem_of(refused)
        assert (status, code) == (400, "invalid")
        assert set(errors) == {
            ("colour", "unknown_field"),
            ("userId", "wrong_type"),
            ("amount", "wrong_type"),
            ("type", "invalid_choice"),
            ("description", "required"),
        }

    @pytest.mark.parametrize(
        ("body", "errors"),
        [
            ({}, [("amount", "required")]),
            ({"description": "Nothing"}, [("amount", "required")]),
            ({"amount": 9}, [("description", "required")]),
            ({"amount": 9, "description": "  "}, [("description", "required")]),
            ({**SPENT, "feature": "simple-ai-insight"}, [("amount", "invalid_choice")]),
            ({**SPENT, "quantity": 2}, [("quantity", "invalid_choice")]),
            ({**SPENT, "description": "x" * 501}, [("description", "too_long")]),
            ({**SPENT, "description": 7}, [("description", "wrong_type")]),
            ({**SPENT, "referenceId": "x" * 256}, [("referenceId", "too_long")]),
            ({**SPENT, "metadata": "note"}, [("metadata", "wrong_type")]),
            ({**SPENT, "metadata": {"note": "x" * 4096}}, [("metadata", "too_long")]),
            ({**SPENT, "metadata": {"note": "a\0b"}}, [("metadata", "wrong_type")]),
            ({**SPENT, "userId": "me"}, [("userId", "wrong_type")]),
        ],
    )
    def test_of_a_deduction_are_named(self, api, ann, body, errors):
        before = table_digests()

        refused = api(ann).post(DEDUCT, body)

        assert problem_of(refused) == (400, "invalid", errors)
        assert table_digests() == before

    @pytest.mark.parametrize("field", ["description", "referenceId"])
    def test_hold_no_lone_surrogate(self, api, ann, field):
        before = table_digests()
        written = {"description": '"An insight"', field: r'"\ud800"'}
        members = ", ".join(f'"{name}": {value}' for name, value in written.items())

        refused = send_text(api(ann), DEDUCT, f'{{"amount": 9, {members}}}')

        assert problem_of(refused) == (400, "invalid", [(field, "wrong_type")])
        assert table_digests() == before


class TestNames:
    @pytest.mark.parametrize("path", [INITIALIZE, TIER])
    def test_of_a_tier_there_is_not(self, admin, ann, path):
        owner = ann if path == TIER else UserFactory.create()
        before = table_digests()

        refused = send(admin, path, {"userId": str(owner.pk), "tier": "platinum"})

        assert problem_of(refused) == (404, "tier_not_found", [])
        assert table_digests() == before

    def test_of_a_feature_there_is_not(self, api, ann):
        before = table_digests()

        refused = api(ann).post(DEDUCT, {"feature": "time-travel"})

        assert problem_of(refused) == (404, "feature_not_found", [])
        assert refused.json()["feature"] == "time-travel"
        assert table_digests() == before


class TestOwners:
    @pytest.mark.parametrize("path", [ADD, INITIALIZE, TIER, ALLOCATE])
    @pytest.mark.parametrize("both", [True, False])
    def test_are_exactly_one(self, admin, ann, path, both):
        owners = {"userId": str(ann.pk), "organizationId": str(OrganizationFactory.create().pk)} if both else {}
        before = table_digests()

        refused = send(admin, path, {**BODIES[path], **owners})

        assert problem_of(refused) == (400, "invalid", [("userId", "exactly_one_owner")])
        assert table_digests() == before

    @pytest.mark.parametrize("path", [ADD, INITIALIZE, TIER, ALLOCATE])
    @pytest.mark.parametrize("kind", ["user", "organization"])
    def test_exist(self, admin, path, kind):
        before = table_digests()

        refused = send(admin, path, {**BODIES[path], f"{kind}Id": str(uuid4())})

        assert problem_of(refused) == (404, f"{kind}_not_found", [])
        assert table_digests() == before

    def test_are_not_an_organization_of_strangers(self, api, ann):
        pool = MembershipFactory.create().organization
        make_balance(pool)
        before = table_digests()

        theirs = api(ann).post(DEDUCT, {**SPENT, "organizationId": str(pool.pk)})
        nobodys = api(ann).post(DEDUCT, {**SPENT, "organizationId": str(uuid4())})

        assert problem_of(theirs) == problem_of(nobodys) == (404, "organization_not_found", [])
        assert table_digests() == before

    def test_are_not_spent_from_by_viewers(self, api):
        seat = MembershipFactory.create(role="viewer")
        make_balance(seat.organization)
        before = table_digests()

        refused = api(seat.user).post(DEDUCT, {**SPENT, "organizationId": str(seat.organization.pk)})

        assert problem_of(refused) == (403, "permission_denied", [])
        assert table_digests() == before

    def test_are_not_named_by_plain_users(self, api, ann):
        before = table_digests()

        refused = api(UserFactory.create()).post(DEDUCT, {**SPENT, "userId": str(ann.pk)})

        assert problem_of(refused) == (403, "permission_denied", [])
        assert table_digests() == before


class TestKeys:
    @pytest.mark.parametrize("path", BODIES)
    @pytest.mark.parametrize(("key", "code"), [("x" * 300, "key_too_long"), ("a\tb", "wrong_type")])
    def test_are_short_and_printable(self, admin, ann, path, key, code):
        before = table_digests()

        refused = send(admin, path, {**BODIES[path], "userId": str(ann.pk)}, headers={"Idempotency-Key": key})

        assert problem_of(refused) == (400, "invalid", [("Idempotency-Key", code)])
        assert table_digests() == before

    @pytest.mark.parametrize("path", [ADD, TIER])
    def test_name_one_request(self, admin, ann, path):
        body = {**BODIES[path], "userId": str(ann.pk)}
        other = {**body, **({"tier": "pro"} if path == TIER else {"amount": 10})}
        key = {"Idempotency-Key": "k"}
        send(admin, path, body, headers=key)
        before = table_digests()

        refused = send(admin, path, other, headers=key)

        assert problem_of(refused) == (422, "idempotency_key_reused", [])
        assert table_digests() == before

    def test_name_one_request_whichever_door_it_came_through(self, admin, ann):
        key = {"Idempotency-Key": "k"}
        send(admin, ADD, {**GIVEN, "userId": str(ann.pk)}, headers=key)
        before = table_digests()

        refused = send(admin, ALLOCATE, {"userId": str(ann.pk)}, headers=key)

        assert problem_of(refused) == (422, "idempotency_key_reused", [])
        assert table_digests() == before


class TestTokens:
    @pytest.mark.parametrize("kind", ["expired", "of the wrong type", "not signed", "signed by another", "no token"])
    def test_that_are_not_valid(self, api, ann, kind):
        pair = tokens.issue(ann)
        claims = jwt.decode(pair.access, options={"verify_signature": False})
        long_ago = int((clock.now() - HOUR).timestamp())
        forged = {
            "expired": jwt.encode({**claims, "exp": long_ago}, settings.SECRET_KEY, "HS256"),
            "of the wrong type": pair.refresh,
            "not signed": jwt.encode(claims, "", "none"),
            "signed by another": jwt.encode(claims, "some other key of a decent length, at last", "HS256"),
            "no token": "abc",
        }
        before = table_digests()

        refused = api().post(DEDUCT, SPENT, headers={"Authorization": f"Bearer {forged[kind]}"})

        assert problem_of(refused) == (401, "token_not_valid", [])
        assert refused["WWW-Authenticate"] == "Bearer"
        assert table_digests() == before

    def test_that_are_valid_pass(self, api, ann):
        claims = jwt.decode(tokens.issue(ann).access, options={"verify_signature": False})
        soon = int((clock.now() + timedelta(minutes=1)).timestamp())
        good = jwt.encode({**claims, "exp": soon}, settings.SECRET_KEY, "HS256")

        assert api().post(DEDUCT, SPENT, headers={"Authorization": f"Bearer {good}"}).status_code == 200


class TestBodies:
    @pytest.mark.parametrize("path", [DEDUCT, ADD, INITIALIZE, ALLOCATE])
    def test_of_ten_megabytes_are_refused(self, admin, path):
        before = table_digests()

        refused = send_text(admin, path, '{"description": "' + "x" * (10 * 1024 * 1024) + '"}')

        assert problem_of(refused) == (413, "payload_too_large", [])
        assert table_digests() == before

    @pytest.mark.parametrize(
        "written",
        [
            "{",
            "NaN",
            '{"amount": NaN, "description": "x"}',
            '{"amount": 9, "amount": 10, "description": "x"}',
            '{"metadata": ' + "[" * 40 + "]" * 40 + "}",
            '{"metadata": ' + "[" * 30_000 + "]" * 30_000 + "}",
        ],
    )
    def test_that_are_not_json_are_malformed(self, api, ann, written):
        before = table_digests()

        refused = send_text(api(ann), DEDUCT, written)

        assert problem_of(refused) == (400, "malformed", [])
        assert table_digests() == before

    def test_that_are_no_objects_are_refused(self, api, ann):
        before = table_digests()

        assert send_text(api(ann), DEDUCT, "[]").status_code == 400
        assert table_digests() == before

    def test_of_another_kind_are_refused(self, api, ann):
        before = table_digests()

        refused = api(ann).generic("POST", DEDUCT, "amount=9&description=x", "application/x-www-form-urlencoded")

        assert problem_of(refused) == (415, "unsupported_media_type", [])
        assert table_digests() == before

    @pytest.mark.parametrize("path", BODIES)
    def test_are_not_for_deleting(self, admin, path):
        assert problem_of(admin.delete(path)) == (405, "method_not_allowed", [])


class TestPathsThatAreNotThereYet:
    @pytest.mark.parametrize("path", ["alerts"])
    def test_are_problems_too(self, admin, path):
        assert problem_of(admin.post(f"/api/credits/{path}", {})) == (404, "not_found", [])
