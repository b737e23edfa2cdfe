from datetime import timedelta
from uuid import uuid4

import pytest

from tests.support.factories.credits import make_balance
from tests.support.factories.identity import AdminFactory, MembershipFactory, ServiceFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.times import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

HOLDS = "/api/credits/holds"
WORK = {"amount": 60, "description": "A report"}
LATER = timedelta(minutes=15)


@pytest.fixture
def ann(db):
    """Somebody with 100 credits."""
    made = UserFactory.create()
    make_balance(made)
    return made


def counts(answer):
    return {name: answer.json()[name] for name in ("balance", "held", "available")}


def place(client, **asked):
    return client.post(HOLDS, {**WORK, **asked})


def placed(client, **asked):
    return f"{HOLDS}/{place(client, **asked).json()['hold']['id']}"


class TestPlace:
    def test_sets_credits_aside(self, api, ann):
        answer = place(api(ann), referenceId="job-7")

        hold = answer.json()["hold"]
        [pin] = hold.pop("entries")
        assert answer.status_code == 201
        assert counts(answer) == {"balance": 100, "held": 60, "available": 40}
        assert pin["amount"] == 60
        assert hold == {
            "id": hold["id"],
            "status": "open",
            "amount": 60,
            "captured": 0,
            "feature": None,
            "quantity": None,
            "description": "A report",
            "referenceId": "job-7",
            "actorId": str(ann.pk),
            "createdAt": "2025-03-03T12:00:00Z",
            "expiresAt": "2025-03-03T12:15:00Z",
        }

    def test_fixes_the_price_of_a_feature(self, api, ann):
        hold = api(ann).post(HOLDS, {"feature": "ai-generated-report", "expiresInSeconds": 60}).json()["hold"]

        assert (hold["amount"], hold["feature"], hold["expiresAt"]) == (
            40,
            "ai-generated-report",
            "2025-03-03T12:01:00Z",
        )

    def test_refuses_what_is_not_there(self, api, ann):
        before = table_digests()

        answer = place(api(ann), amount=101)

        assert (answer.status_code, answer.json()["code"], answer.json()["shortfall"]) == (
            402,
            "insufficient_credits",
            1,
        )
        assert table_digests() == before

    @pytest.mark.parametrize(
        ("asked", "field", "code"),
        [
            ({"amount": 0}, "amount", "out_of_range"),
            ({"expiresInSeconds": 25 * 3600}, "expiresInSeconds", "out_of_range"),
            ({"expiresInSeconds": 0}, "expiresInSeconds", "out_of_range"),
            ({"lasts": 5}, "lasts", "unknown_field"),
        ],
    )
    def test_names_a_bad_field(self, api, ann, asked, field, code):
        before = table_digests()

        answer = place(api(ann), **asked)

        assert answer.status_code == 400
        assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [(field, code)]
        assert table_digests() == before

    def test_refuses_a_viewer(self, api):
        seat = MembershipFactory.create(role="viewer")
        make_balance(seat.organization)

        answer = place(api(seat.user), organizationId=str(seat.organization.pk))

        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


class TestReplays:
    def test_of_a_hold_show_it_as_it_was_placed(self, api, ann):
        key = {"Idempotency-Key": "k"}
        first = api(ann).post(HOLDS, WORK, headers=key)
        api(ann).post(f"{HOLDS}/{first.json()['hold']['id']}/release", {})

        again = api(ann).post(HOLDS, WORK, headers=key)

        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["Idempotency-Replayed"] == "true"

    def test_of_a_capture_spend_once(self, api, ann):
        path = placed(api(ann)) + "/capture"
        key = {"Idempotency-Key": "k"}
        first = api(ann).post(path, {"amount": 25}, headers=key)
        before = table_digests()

        again = api(ann).post(path, {"amount": 25}, headers=key)
        other = api(ann).post(path, {"amount": 26}, headers=key)

        assert (again.status_code, again.json()) == (200, first.json())
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert table_digests() == before


class TestCapture:
    def test_spends_all_of_it_unless_told(self, api, ann):
        answer = api(ann).post(placed(api(ann)) + "/capture", {})

        assert counts(answer) == {"balance": 40, "held": 0, "available": 40}
        assert (answer.json()["hold"]["status"], answer.json()["hold"]["captured"]) == ("captured", 60)
        assert answer.json()["transaction"]["amount"] == -60

    def test_gives_back_what_was_not_needed(self, api, ann):
        answer = api(ann).post(placed(api(ann)) + "/capture", {"amount": 25})

        assert counts(answer) == {"balance": 75, "held": 0, "available": 75}

    def test_takes_more_from_what_is_available(self, api, ann):
        answer = api(ann).post(placed(api(ann)) + "/capture", {"amount": 80})

        assert counts(answer) == {"balance": 20, "held": 0, "available": 20}

    def test_refuses_more_than_there_is_and_keeps_the_hold(self, api, ann):
        path = placed(api(ann))
        before = table_digests()

        answer = api(ann).post(f"{path}/capture", {"amount": 101})

        assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_credits")
        assert table_digests() == before
        assert api(ann).get(path).json()["status"] == "open"

    def test_of_nothing_releases_it(self, api, ann):
        answer = api(ann).post(placed(api(ann)) + "/capture", {"amount": 0})

        assert counts(answer) == {"balance": 100, "held": 0, "available": 100}
        assert (answer.json()["hold"]["status"], answer.json()["transaction"]) == ("released", None)

    def test_says_in_the_transaction_which_hold_it_was(self, api, ann):
        path = placed(api(ann))
        usage = api(ann).post(f"{path}/capture", {}).json()["transaction"]["id"]

        explained = api(ann).get(f"/api/credits/transactions/{usage}").json()

        assert explained["holdId"] == path.rsplit("/", 1)[-1]

    @pytest.mark.parametrize("verb", ["capture", "release"])
    def test_refuses_a_hold_that_is_closed(self, api, ann, verb):
        path = placed(api(ann))
        api(ann).post(f"{path}/{verb}", {})
        before = table_digests()

        answer = api(ann).post(f"{path}/capture", {})

        assert (answer.status_code, answer.json()["code"]) == (409, "hold_closed")
        assert table_digests() == before

    def test_refuses_a_hold_that_has_lapsed(self, api, ann, clock_at):
        path = placed(api(ann))
        before = table_digests()
        clock_at(NOON + LATER)

        answer = api(ann).post(f"{path}/capture", {})

        assert (answer.status_code, answer.json()["code"]) == (409, "hold_closed")
        assert table_digests() == before


class TestRelease:
    def test_gives_everything_back(self, api, ann):
        answer = api(ann).post(placed(api(ann)) + "/release", {})

        assert counts(answer) == {"balance": 100, "held": 0, "available": 100}
        assert answer.json()["hold"]["status"] == "released"


class TestExtend:
    def test_lets_it_last_longer(self, api, ann):
        answer = api(ann).post(placed(api(ann)) + "/extend", {"expiresInSeconds": 3600})

        assert answer.json()["hold"]["expiresAt"] == "2025-03-03T13:00:00Z"

    def test_refuses_more_than_a_day(self, api, ann):
        answer = api(ann).post(placed(api(ann)) + "/extend", {"expiresInSeconds": 86_401})

        assert answer.json()["errors"][0]["field"] == "expiresInSeconds"


class TestWhoMay:
    def test_close_it_is_whoever_placed_it_admins_and_services(self, api):
        placer, colleague = (MembershipFactory.create(role="member") for _ in range(2))
        colleague.organization = placer.organization
        colleague.save()
        make_balance(placer.organization)
        pool = {"organizationId": str(placer.organization.pk)}

        for closer, status in (
            (placer.user, 200),
            (colleague.user, 403),
            (AdminFactory.create(), 200),
            (ServiceFactory.create(), 200),
            (UserFactory.create(), 404),
        ):
            path = placed(api(placer.user), amount=10, **pool)
            assert api(closer).post(f"{path}/release", {}).status_code == status

    @pytest.mark.parametrize(
        ("verb", "body"), [("capture", {}), ("capture", {"amount": 90}), ("extend", {"expiresInSeconds": 3600})]
    )
    def test_use_it_is_nobody_who_has_become_a_viewer_but_they_can_release_it(self, api, verb, body):
        seat = MembershipFactory.create(role="member")
        make_balance(seat.organization)
        path = placed(api(seat.user), organizationId=str(seat.organization.pk))
        seat.role = "viewer"
        seat.save()
        before = table_digests()

        refused = api(seat.user).post(f"{path}/{verb}", body)

        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
        assert table_digests() == before
        assert api(seat.user).post(f"{path}/release", {}).status_code == 200

    def test_see_one_hold_is_whoever_sees_the_balance(self, api, ann):
        path = placed(api(ann))

        stranger = api(UserFactory.create()).get(path)

        assert (stranger.status_code, stranger.json()["code"]) == (404, "hold_not_found")
        assert api(ann).get(path).json()["amount"] == 60

    def test_close_a_hold_that_never_was_is_nobody(self, api, ann):
        answer = api(ann).post(f"{HOLDS}/{uuid4()}/capture", {})

        assert (answer.status_code, answer.json()["code"]) == (404, "hold_not_found")


class TestList:
    def test_shows_the_newest_first_and_lapsed_ones_from_the_instant(self, api, ann, clock_at):
        placed(api(ann), amount=10, expiresInSeconds=60)
        placed(api(ann), amount=20, expiresInSeconds=61)
        clock_at(NOON + timedelta(seconds=60))

        told = api(ann).get(HOLDS).json()["results"]

        assert [(hold["amount"], hold["status"]) for hold in told] == [(20, "open"), (10, "lapsed")]
        assert [hold["amount"] for hold in api(ann).get(HOLDS, {"status": "lapsed"}).json()["results"]] == [10]

    def test_is_empty_where_no_balance_was_opened(self, api):
        assert api(UserFactory.create()).get(HOLDS).json() == {"results": [], "next": None, "previous": None}
