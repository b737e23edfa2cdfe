"""What cannot be done to a hold, a usage, a purchase or a grant: a table of statuses and codes. Nothing is written."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from credits import operations
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.identity import AdminFactory
from tests.support.ledger import table_digests
from tests.support.times import DAY, HOUR, MINUTE, NOON

pytestmark = pytest.mark.django_db

WHY = {"reason": "It failed"}
WORK: dict[str, Any] = {"amount": 5, "description": "Work"}
A_DAY_AND_AN_HOUR = 25 * 3600
SOON = (NOON + 3 * HOUR).isoformat()
LATE = (NOON + 99 * DAY).isoformat()
NOT_SECONDS = [0, -1, A_DAY_AND_AN_HOUR, 86_401, "60", 60.5, True, None, 10**30]


class Life:
    """An hour past noon: what Ann was given, used and set aside, each by a name that the table can use."""

    def __init__(self):
        self.ann = make_user()
        self.ids: dict[str, UUID] = {f"no {kind}": uuid4() for kind in ("hold", "transaction", "grant")}
        self.balance = make_balance(self.ann, [(40, DAY)], type="allocation", priority=90)
        self.ids["allocation"] = self.balance.transactions.get().pk
        self.remember("allocated grant")
        self.give("expired grant", 20, expires_at=NOON + HOUR)
        self.ids["usage"] = deduct(self.balance, 5).pk
        # The purchase is spent to its last credit; two of its usages were refunded, one in part.
        self.ids["purchase"] = self.give("spent grant", 30, "purchase", priority=0)
        self.ids["partly refunded"] = deduct(self.balance, 20).pk
        self.ids["spent"] = deduct(self.balance, 10).pk
        self.ids["refund"] = self.refund("partly refunded", 15)
        self.ids["refunded"] = deduct(self.balance, 15).pk
        self.refund("refunded", 15)
        deduct(self.balance, 15)
        self.give("voided grant", 7)
        operations.void_grant(grant_id=self.ids["voided grant"], reason="By mistake", at=NOON)
        self.ids["void"] = self.balance.transactions.latest("sequence").pk
        self.give("lasting grant", 10)
        for name in ("captured", "released", "lapsed", "open"):
            seconds = 60 if name == "lapsed" else 24 * 3600
            placed = operations.place_hold(
                owner=self.ann, actor=self.ann, amount=2, description="W", expires_in_seconds=seconds, at=NOON
            )
            self.ids[f"{name} hold"] = placed.pk
        operations.capture_hold(hold_id=self.ids["captured hold"], at=NOON)
        operations.release_hold(hold_id=self.ids["released hold"], at=NOON)
        others = make_balance()
        self.ids["stranger's hold"] = operations.place_hold(owner=others.owner, at=NOON, **WORK).pk

    def give(self, name, amount, kind="promotion", **terms):
        given = operations.add_credits(owner=self.ann, amount=amount, type=kind, at=NOON, **terms)
        self.remember(name)
        return given.pk

    def remember(self, name):
        self.ids[name] = self.balance.grants.latest("pk").pk

    def refund(self, name, amount):
        return operations.refund_usage(transaction_id=self.ids[name], amount=amount, reason="r", at=NOON).pk


@pytest.fixture
def life(clock_at):
    clock_at(NOON + HOUR + MINUTE)
    return Life()


def hold(name, verb, body=None):
    return f"holds/{{{name} hold}}/{verb}", body or {}


def transaction(name, verb, **body):
    return f"transactions/{{{name}}}/{verb}", {**WHY, **body}


def grant(name, verb, **body):
    return f"grants/{{{name} grant}}/{verb}", {**WHY, **body}


def invalid(field, code):
    return 400, "invalid", [(field, code)]


def of_seconds(seconds):
    return "out_of_range" if type(seconds) is int else "wrong_type"


Problem = tuple[int, str, list[tuple[str, str]]]

CLOSED: Problem = (409, "hold_closed", [])
BAD: list[tuple[tuple[str, dict[str, Any]], Problem]] = [
    # An unknown, a stranger's, a closed, or a lapsed hold.
    *[(hold("no", verb), (404, "hold_not_found", [])) for verb in ("capture", "release")],
    (hold("no", "extend", {"expiresInSeconds": 60}), (404, "hold_not_found", [])),
    *[(hold(name, "capture"), CLOSED) for name in ("captured", "released", "lapsed")],
    *[(hold(name, "capture", {"amount": 0}), CLOSED) for name in ("captured", "released", "lapsed")],
    *[(hold(name, "release"), CLOSED) for name in ("captured", "released", "lapsed")],
    *[(hold(name, "extend", {"expiresInSeconds": 60}), CLOSED) for name in ("captured", "released", "lapsed")],
    # A hold of nothing, for too long, or captured beyond what there is.
    (("holds", {**WORK, "amount": 0}), invalid("amount", "out_of_range")),
    (("holds", {**WORK, "amount": -5}), invalid("amount", "out_of_range")),
    (("holds", {"amount": 5}), invalid("description", "required")),
    (("holds", {**WORK, "amount": 10**12}), (402, "insufficient_credits", [])),
    (("holds", {"feature": "time-travel"}), (404, "feature_not_found", [])),
    *[(("holds", {**WORK, "expiresInSeconds": it}), invalid("expiresInSeconds", of_seconds(it))) for it in NOT_SECONDS],
    *[
        (hold("open", "extend", {"expiresInSeconds": it}), invalid("expiresInSeconds", of_seconds(it)))
        for it in NOT_SECONDS
    ],
    (hold("open", "extend"), invalid("expiresInSeconds", "required")),
    (hold("open", "capture", {"amount": -1}), invalid("amount", "out_of_range")),
    (hold("open", "capture", {"amount": "2"}), invalid("amount", "wrong_type")),
    (hold("open", "capture", {"amount": 10**12}), (402, "insufficient_credits", [])),
    (hold("open", "capture", {"amount": 10**12 + 1}), invalid("amount", "out_of_range")),
    (hold("open", "release", {"amount": 1}), invalid("amount", "unknown_field")),
    # Refunding what is no usage, more than was used, or what was refunded.
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
    # Reversing what is no purchase, or more than was bought.
    *[
        (transaction(name, "reverse"), (409, "not_reversible", []))
        for name in ("allocation", "usage", "refund", "void")
    ],
    (transaction("no transaction", "reverse"), (404, "transaction_not_found", [])),
    (transaction("purchase", "reverse", amount=31), (409, "reversal_exceeds_purchase", [])),
    (transaction("purchase", "reverse", amount=-1), invalid("amount", "out_of_range")),
    (transaction("purchase", "reverse", expiresAt=SOON), invalid("expiresAt", "unknown_field")),
    # Voiding or extending what is not there any more, or needs it not.
    *[(grant(name, "void"), (409, "grant_not_voidable", [])) for name in ("spent", "expired")],
    (grant("no", "void"), (404, "grant_not_found", [])),
    (grant("lasting", "void", reason=""), invalid("reason", "required")),
    *[
        (grant(name, "extend", expiresAt=LATE), (409, "grant_not_extendable", []))
        for name in ("spent", "expired", "voided", "lasting")
    ],
    (grant("no", "extend", expiresAt=LATE), (404, "grant_not_found", [])),
    (grant("allocated", "extend", expiresAt=SOON), invalid("expiresAt", "out_of_range")),
    (grant("allocated", "extend", expiresAt=NOON.isoformat()), invalid("expiresAt", "in_past")),
    (grant("allocated", "extend", expiresAt="tomorrow"), invalid("expiresAt", "wrong_type")),
    (grant("allocated", "extend"), invalid("expiresAt", "required")),
    # Adjusting by nothing, beyond bounds, or into debt.
    (("adjust", {**WHY, "userId": "{ann}", "amount": 0}), invalid("amount", "out_of_range")),
    (("adjust", {**WHY, "userId": "{ann}", "amount": -(10**12) - 1}), invalid("amount", "out_of_range")),
    (("adjust", {**WHY, "userId": "{ann}", "amount": -(10**12)}), (402, "insufficient_credits", [])),
    (("adjust", {**WHY, "amount": 1}), invalid("userId", "exactly_one_owner")),
    (("adjust", {"userId": "{ann}", "amount": 1}), invalid("reason", "required")),
]


def problem_of(answer):
    told = answer.json()
    assert answer["Content-Type"] == "application/problem+json"
    assert told["status"] == answer.status_code
    return answer.status_code, told["code"], [(e["field"], e["code"]) for e in told.get("errors", [])]


class TestBadLife:
    @pytest.mark.parametrize(("asked", "problem"), BAD, ids=str)
    def test_is_refused_by_its_code_and_writes_nothing(self, api, life, asked, problem):
        path, body = asked
        ids = {**life.ids, "ann": life.ann.pk}
        filled = {name: str(life.ann.pk) if value == "{ann}" else value for name, value in body.items()}
        # Staff act on anybody's; holds are placed by Ann herself.
        client = api(life.ann if path == "holds" else AdminFactory.create())
        before = table_digests()

        refused = client.post("/api/credits/" + path.format_map(ids), filled)

        assert problem_of(refused) == problem
        assert table_digests() == before

    @pytest.mark.parametrize("verb", ["capture", "release"])
    def test_of_a_strangers_hold_is_as_of_none(self, api, life, verb):
        before = table_digests()

        theirs = life.ids["stranger's hold"]

        refused = api(life.ann).post(f"/api/credits/holds/{theirs}/{verb}", {})

        assert problem_of(refused) == (404, "hold_not_found", [])
        assert table_digests() == before

    @pytest.mark.parametrize(
        ("asked", "other"),
        [
            (transaction("usage", "refund", amount=2), {"amount": 3}),
            (transaction("usage", "refund", amount=2), {"reason": "Another"}),
            (transaction("purchase", "reverse", amount=2), {"amount": 3}),
            (grant("lasting", "void"), {"reason": "Another"}),
            (grant("allocated", "extend", expiresAt=LATE), {"reason": "Another"}),
            (hold("open", "capture", {"amount": 1}), {"amount": 2}),
            (hold("open", "extend", {"expiresInSeconds": 3600}), {"expiresInSeconds": 60}),
            (("holds", WORK), {"amount": 6}),
        ],
        ids=str,
    )
    def test_twice_with_one_key_is_done_once_and_something_else_is_refused(self, api, life, asked, other):
        path, body = asked
        path = "/api/credits/" + path.format_map(life.ids)
        client, key = api(life.ann if asked[0] == "holds" else AdminFactory.create()), {"Idempotency-Key": "k"}
        first = client.post(path, body, headers=key)
        before = table_digests()

        again = client.post(path, body, headers=key)
        refused = client.post(path, {**body, **other}, headers=key)

        assert (first.status_code // 100, again.content) == (2, first.content)
        assert again["Idempotency-Replayed"] == "true"
        assert problem_of(refused) == (422, "idempotency_key_reused", [])
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
    def test_a_balance_is_told_of_no_instant_but_a_past_one(self, api, life, at, code):
        before = table_digests()

        refused = api(life.ann).get("/api/credits/balance", {"at": at})

        assert problem_of(refused) == invalid("at", code)
        assert table_digests() == before


class TestAGrantThatIsPinned:
    """The work that its pinned credits were set aside for has begun: docs/errors.md says what becomes of them."""

    @pytest.fixture
    def ann(self, noon):
        ann = make_user()
        make_balance(ann)
        return ann

    @pytest.fixture
    def admin(self, api):
        return api(AdminFactory.create())

    def voided(self, admin, ann):
        placed = operations.place_hold(owner=ann, amount=60, description="Work", at=NOON)
        grant_id = ann.credit_balance.grants.get().pk
        answer = admin.post(f"/api/credits/grants/{grant_id}/void", WHY)
        return answer, f"/api/credits/grants/{grant_id}/void", f"/api/credits/holds/{placed.pk}"

    def test_loses_what_is_free_when_it_is_voided(self, ann, admin):
        answer, _, held = self.voided(admin, ann)

        assert (answer.status_code, answer.json()["transaction"]["amount"]) == (200, -40)
        assert {name: answer.json()[name] for name in ("balance", "held", "available")} == {
            "balance": 60,
            "held": 60,
            "available": 0,
        }
        assert admin.get(held).json()["status"] == "open"

    def test_pays_for_what_was_begun(self, ann, admin):
        _, _, held = self.voided(admin, ann)

        captured = admin.post(f"{held}/capture", {"amount": 45}).json()

        assert (captured["transaction"]["amount"], captured["balance"], captured["available"]) == (-45, 0, 0)

    def test_loses_what_is_released(self, ann, admin):
        _, _, held = self.voided(admin, ann)

        released = admin.post(f"{held}/release", {}).json()

        assert (released["balance"], released["available"]) == (0, 0)
        latest = ann.credit_balance.transactions.latest("sequence")
        assert (latest.type, latest.amount) == ("void", -60)

    def test_is_not_voided_a_second_time(self, ann, admin):
        _, void, _ = self.voided(admin, ann)
        before = table_digests()

        again = admin.post(void, WHY)

        assert (again.status_code, again.json()["transaction"]) == (200, None)
        assert table_digests() == before

    def test_wholly_has_nothing_to_take_yet(self, ann, admin):
        operations.place_hold(owner=ann, amount=100, description="Work", at=NOON)

        answer = admin.post(f"/api/credits/grants/{ann.credit_balance.grants.get().pk}/void", WHY)

        assert (answer.status_code, answer.json()["transaction"], answer.json()["held"]) == (200, None, 100)
        assert ann.credit_balance.grants.get().voided_at == NOON
