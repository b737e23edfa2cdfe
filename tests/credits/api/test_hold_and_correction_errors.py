"""Errors of holds and corrections: a table of requests with their status and codes. Nothing is written."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from credits import operations
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.identity import AdminFactory
from tests.support.ledger import table_digests
from tests.support.problems import Problem, invalid, problem_of
from tests.support.times import DAY, HOUR, MINUTE, NOON

pytestmark = pytest.mark.django_db

REASON = {"reason": "It failed"}
WORK: dict[str, Any] = {"amount": 5, "description": "Work"}
TWENTY_FIVE_HOURS = 25 * 3600
BEFORE_EXPIRY = (NOON + 3 * HOUR).isoformat()
MUCH_LATER = (NOON + 99 * DAY).isoformat()
INVALID_SECONDS = [0, -1, TWENTY_FIVE_HOURS, 86_401, "60", 60.5, True, None, 10**30]


class Scenario:
    """A user's grants, transactions and holds, an hour after noon; ``ids`` has the id of each by a descriptive name."""

    def __init__(self):
        self.user = make_user()
        self.ids: dict[str, UUID] = {f"no {kind}": uuid4() for kind in ("hold", "transaction", "grant")}
        self.balance = make_balance(self.user, [(40, DAY)], type="allocation", priority=90)
        self.ids["allocation"] = self.balance.transactions.get().pk
        self.remember("allocated grant")
        self.add("expired grant", 20, expires_at=NOON + HOUR)
        self.ids["usage"] = deduct(self.balance, 5).transaction.id
        # The purchase is spent to its last credit; two of its usages were refunded, one in part.
        self.ids["purchase"] = self.add("spent grant", 30, "purchase", priority=0)
        self.ids["partly refunded"] = deduct(self.balance, 20).transaction.id
        self.ids["spent"] = deduct(self.balance, 10).transaction.id
        self.ids["refund"] = self.refund("partly refunded", 15)
        self.ids["refunded"] = deduct(self.balance, 15).transaction.id
        self.refund("refunded", 15)
        deduct(self.balance, 15)
        self.add("voided grant", 7)
        operations.void_grant(grant_id=self.ids["voided grant"], reason="By mistake", at=NOON)
        self.ids["void"] = self.balance.transactions.latest("sequence").pk
        self.add("lasting grant", 10)
        for name in ("captured", "released", "lapsed", "open"):
            seconds = 60 if name == "lapsed" else 24 * 3600
            hold = operations.place_hold(
                owner=self.user, actor=self.user, amount=2, description="W", expires_in_seconds=seconds, at=NOON
            )
            self.ids[f"{name} hold"] = hold.hold.id
        operations.capture_hold(hold_id=self.ids["captured hold"], at=NOON)
        operations.release_hold(hold_id=self.ids["released hold"], at=NOON)
        other_balance = make_balance()
        self.ids["other user's hold"] = operations.place_hold(owner=other_balance.owner, at=NOON, **WORK).hold.id

    def add(self, name, amount, kind="promotion", **terms):
        transaction = operations.add_credits(owner=self.user, amount=amount, type=kind, at=NOON, **terms)
        self.remember(name)
        return transaction.transaction.id

    def remember(self, name):
        self.ids[name] = self.balance.grants.latest("pk").pk

    def refund(self, name, amount):
        return operations.refund_usage(transaction_id=self.ids[name], amount=amount, reason="r", at=NOON).transaction.id


@pytest.fixture
def scenario(clock_at):
    clock_at(NOON + HOUR + MINUTE)
    return Scenario()


def hold(name, verb, body=None):
    return f"holds/{{{name} hold}}/{verb}", body or {}


def transaction(name, verb, **body):
    return f"transactions/{{{name}}}/{verb}", {**REASON, **body}


def grant(name, verb, **body):
    return f"grants/{{{name} grant}}/{verb}", {**REASON, **body}


def seconds_code(seconds):
    return "out_of_range" if type(seconds) is int else "wrong_type"


CLOSED: Problem = (409, "hold_closed", [])
REJECTED: list[tuple[tuple[str, dict[str, Any]], Problem]] = [
    # An unknown, closed or lapsed hold.
    *[(hold("no", verb), (404, "hold_not_found", [])) for verb in ("capture", "release")],
    (hold("no", "extend", {"expiresInSeconds": 60}), (404, "hold_not_found", [])),
    *[(hold(name, "capture"), CLOSED) for name in ("captured", "released", "lapsed")],
    *[(hold(name, "capture", {"amount": 0}), CLOSED) for name in ("captured", "released", "lapsed")],
    *[(hold(name, "release"), CLOSED) for name in ("captured", "released", "lapsed")],
    *[(hold(name, "extend", {"expiresInSeconds": 60}), CLOSED) for name in ("captured", "released", "lapsed")],
    # Invalid amounts and lifetimes of holds.
    (("holds", {**WORK, "amount": 0}), invalid("amount", "out_of_range")),
    (("holds", {**WORK, "amount": -5}), invalid("amount", "out_of_range")),
    (("holds", {"amount": 5}), invalid("description", "required")),
    (("holds", {**WORK, "amount": 10**12}), (402, "insufficient_credits", [])),
    (("holds", {"feature": "time-travel"}), (404, "feature_not_found", [])),
    *[
        (("holds", {**WORK, "expiresInSeconds": seconds}), invalid("expiresInSeconds", seconds_code(seconds)))
        for seconds in INVALID_SECONDS
    ],
    *[
        (hold("open", "extend", {"expiresInSeconds": seconds}), invalid("expiresInSeconds", seconds_code(seconds)))
        for seconds in INVALID_SECONDS
    ],
    (hold("open", "extend"), invalid("expiresInSeconds", "required")),
    (hold("open", "capture", {"amount": -1}), invalid("amount", "out_of_range")),
    (hold("open", "capture", {"amount": "2"}), invalid("amount", "wrong_type")),
    (hold("open", "capture", {"amount": 10**12}), (402, "insufficient_credits", [])),
    (hold("open", "capture", {"amount": 10**12 + 1}), invalid("amount", "out_of_range")),
    (hold("open", "release", {"amount": 1}), invalid("amount", "unknown_field")),
    # Refunds of other transactions, and of more than was used and not refunded.
    *[
        (transaction(name, "refund"), (409, "not_refundable", []))
        for name in ("allocation", "purchase", "refund", "void")
    ],
    (transaction("no transaction", "refund"), (404, "transaction_not_found", [])),
    (transaction("usage", "refund", amount=6), (409, "refund_exceeds_usage", [])),
    (transaction("partly refunded", "refund", amount=6), (409, "refund_exceeds_usage", [])),
    (transaction("refunded", "refund"), (409, "refund_exceeds_usage", [])),
    (transaction("usage", "refund", amount=0), invalid("amount", "out_of_range")),
    (transaction("usage", "refund", reason=" "), invalid("reason", "required")),
    (transaction("usage", "refund", reason="x" * 501), invalid("reason", "too_long")),
    (transaction("usage", "refund", expiresAt=NOON.isoformat()), invalid("expiresAt", "in_past")),
    # Reversals of other transactions, and of more than was bought.
    *[
        (transaction(name, "reverse"), (409, "not_reversible", []))
        for name in ("allocation", "usage", "refund", "void")
    ],
    (transaction("no transaction", "reverse"), (404, "transaction_not_found", [])),
    (transaction("purchase", "reverse", amount=31), (409, "reversal_exceeds_purchase", [])),
    (transaction("purchase", "reverse", amount=-1), invalid("amount", "out_of_range")),
    (transaction("purchase", "reverse", expiresAt=BEFORE_EXPIRY), invalid("expiresAt", "unknown_field")),
    # Voids and extensions of grants that are spent, expired, voided or without an expiry.
    *[(grant(name, "void"), (409, "grant_not_voidable", [])) for name in ("spent", "expired")],
    (grant("no", "void"), (404, "grant_not_found", [])),
    (grant("lasting", "void", reason=""), invalid("reason", "required")),
    *[
        (grant(name, "extend", expiresAt=MUCH_LATER), (409, "grant_not_extendable", []))
        for name in ("spent", "expired", "voided", "lasting")
    ],
    (grant("no", "extend", expiresAt=MUCH_LATER), (404, "grant_not_found", [])),
    (grant("allocated", "extend", expiresAt=BEFORE_EXPIRY), invalid("expiresAt", "out_of_range")),
    (grant("allocated", "extend", expiresAt=NOON.isoformat()), invalid("expiresAt", "in_past")),
    (grant("allocated", "extend", expiresAt="tomorrow"), invalid("expiresAt", "wrong_type")),
    (grant("allocated", "extend"), invalid("expiresAt", "required")),
    # Adjustments by 0, out of range, or beyond what is available.
    (("adjust", {**REASON, "userId": "{user}", "amount": 0}), invalid("amount", "out_of_range")),
    (("adjust", {**REASON, "userId": "{user}", "amount": -(10**12) - 1}), invalid("amount", "out_of_range")),
    (("adjust", {**REASON, "userId": "{user}", "amount": -(10**12)}), (402, "insufficient_credits", [])),
    (("adjust", {**REASON, "amount": 1}), invalid("userId", "exactly_one_owner")),
    (("adjust", {"userId": "{user}", "amount": 1}), invalid("reason", "required")),
]


class TestErrors:
    def test_every_request_is_rejected_with_its_code_and_writes_nothing(self, api, scenario):
        ids = {**scenario.ids, "user": scenario.user.pk}
        # The user places holds; an admin makes all other requests.
        user, admin = api(scenario.user), api(AdminFactory.create())
        before, differences = table_digests(), []

        # One scenario serves all requests, because no request may change it.
        for (path, body), problem in REJECTED:
            filled_body = {name: str(scenario.user.pk) if value == "{user}" else value for name, value in body.items()}
            rejected = (user if path == "holds" else admin).post("/api/credits/" + path.format_map(ids), filled_body)
            if (received := problem_of(rejected)) != problem:
                differences.append(f"{path} {body}: {received}, not {problem}")
            if table_digests() != before:
                pytest.fail(f"{path} {body} wrote something")

        assert not differences

    @pytest.mark.parametrize("verb", ["capture", "release"])
    def test_reports_another_users_hold_as_not_found(self, api, scenario, verb):
        before = table_digests()

        hold_id = scenario.ids["other user's hold"]

        rejected = api(scenario.user).post(f"/api/credits/holds/{hold_id}/{verb}", {})

        assert problem_of(rejected) == (404, "hold_not_found", [])
        assert table_digests() == before

    @pytest.mark.parametrize(
        ("payload", "other"),
        [
            (transaction("usage", "refund", amount=2), {"amount": 3}),
            (transaction("usage", "refund", amount=2), {"reason": "Another"}),
            (transaction("purchase", "reverse", amount=2), {"amount": 3}),
            (grant("lasting", "void"), {"reason": "Another"}),
            (grant("allocated", "extend", expiresAt=MUCH_LATER), {"reason": "Another"}),
            (hold("open", "capture", {"amount": 1}), {"amount": 2}),
            (hold("open", "extend", {"expiresInSeconds": 3600}), {"expiresInSeconds": 60}),
            (("holds", WORK), {"amount": 6}),
        ],
        ids=str,
    )
    def test_replays_the_same_request_and_rejects_another_with_the_same_key(self, api, scenario, payload, other):
        path, body = payload
        path = "/api/credits/" + path.format_map(scenario.ids)
        client, key = api(scenario.user if payload[0] == "holds" else AdminFactory.create()), {"Idempotency-Key": "k"}
        first = client.post(path, body, headers=key)
        before = table_digests()

        repeated = client.post(path, body, headers=key)
        rejected = client.post(path, {**body, **other}, headers=key)

        assert (first.status_code // 100, repeated.content) == (2, first.content)
        assert repeated["Idempotency-Replayed"] == "true"
        assert problem_of(rejected) == (422, "idempotency_key_reused", [])
        assert table_digests() == before

    @pytest.mark.parametrize(
        ("at", "code"),
        [
            ((NOON + 2 * HOUR).isoformat(), "in_future"),
            ("9999-12-31T23:59:59Z", "in_future"),
            ("2025-03-03T12:00:00", "wrong_type"),
            ("yesterday", "wrong_type"),
            ("", "wrong_type"),
        ],
    )
    def test_rejects_a_balance_at_a_time_that_is_not_in_the_past(self, api, scenario, at, code):
        before = table_digests()

        rejected = api(scenario.user).get("/api/credits/balance", {"at": at})

        assert problem_of(rejected) == invalid("at", code)
        assert table_digests() == before
