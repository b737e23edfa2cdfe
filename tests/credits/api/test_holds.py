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
LIFETIME = timedelta(minutes=15)


@pytest.fixture
def user(db):
    """A user with 100 credits."""
    user = UserFactory.create()
    make_balance(user)
    return user


def amounts(response):
    return {name: response.json()[name] for name in ("balance", "held", "available")}


def place(client, **payload):
    return client.post(HOLDS, {**WORK, **payload})


def place_and_get_path(client, **payload):
    return f"{HOLDS}/{place(client, **payload).json()['hold']['id']}"


class TestPlaceHold:
    def test_sets_credits_aside(self, api, user):
        response = place(api(user), referenceId="job-7")

        hold = response.json()["hold"]
        [pin] = hold.pop("entries")
        assert response.status_code == 201
        assert amounts(response) == {"balance": 100, "held": 60, "available": 40}
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
            "actorId": str(user.pk),
            "createdAt": "2025-03-03T12:00:00Z",
            "expiresAt": "2025-03-03T12:15:00Z",
        }

    def test_uses_the_current_price_of_a_feature(self, api, user):
        hold = api(user).post(HOLDS, {"feature": "ai-generated-report", "expiresInSeconds": 60}).json()["hold"]

        assert (hold["amount"], hold["feature"], hold["expiresAt"]) == (
            40,
            "ai-generated-report",
            "2025-03-03T12:01:00Z",
        )

    def test_rejects_more_than_is_available(self, api, user):
        before = table_digests()

        response = place(api(user), amount=101)

        assert (response.status_code, response.json()["code"], response.json()["shortfall"]) == (
            402,
            "insufficient_credits",
            1,
        )
        assert table_digests() == before

    @pytest.mark.parametrize(
        ("payload", "field", "code"),
        [
            ({"amount": 0}, "amount", "out_of_range"),
            ({"expiresInSeconds": 25 * 3600}, "expiresInSeconds", "out_of_range"),
            ({"expiresInSeconds": 0}, "expiresInSeconds", "out_of_range"),
            ({"lasts": 5}, "lasts", "unknown_field"),
        ],
    )
    def test_names_the_invalid_field(self, api, user, payload, field, code):
        before = table_digests()

        response = place(api(user), **payload)

        assert response.status_code == 400
        assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(field, code)]
        assert table_digests() == before

    def test_rejects_a_viewer(self, api):
        membership = MembershipFactory.create(role="viewer")
        make_balance(membership.organization)

        response = place(api(membership.user), organizationId=str(membership.organization.pk))

        assert (response.status_code, response.json()["code"]) == (403, "permission_denied")


class TestIdempotencyKey:
    def test_replays_a_hold_as_it_was_placed(self, api, user):
        key = {"Idempotency-Key": "k"}
        first = api(user).post(HOLDS, WORK, headers=key)
        api(user).post(f"{HOLDS}/{first.json()['hold']['id']}/release", {})

        repeated = api(user).post(HOLDS, WORK, headers=key)

        assert (repeated.status_code, repeated.json()) == (201, first.json())
        assert repeated.headers["Idempotency-Replayed"] == "true"

    def test_replays_a_capture_without_spending_again(self, api, user):
        path = place_and_get_path(api(user)) + "/capture"
        key = {"Idempotency-Key": "k"}
        first = api(user).post(path, {"amount": 25}, headers=key)
        before = table_digests()

        repeated = api(user).post(path, {"amount": 25}, headers=key)
        other = api(user).post(path, {"amount": 26}, headers=key)

        assert (repeated.status_code, repeated.json()) == (200, first.json())
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert table_digests() == before


class TestCaptureHold:
    def test_spends_the_whole_hold_by_default(self, api, user):
        response = api(user).post(place_and_get_path(api(user)) + "/capture", {})

        assert amounts(response) == {"balance": 40, "held": 0, "available": 40}
        assert (response.json()["hold"]["status"], response.json()["hold"]["captured"]) == ("captured", 60)
        assert response.json()["transaction"]["amount"] == -60

    def test_releases_what_is_not_captured(self, api, user):
        response = api(user).post(place_and_get_path(api(user)) + "/capture", {"amount": 25})

        assert amounts(response) == {"balance": 75, "held": 0, "available": 75}

    def test_takes_an_excess_from_what_is_available(self, api, user):
        response = api(user).post(place_and_get_path(api(user)) + "/capture", {"amount": 80})

        assert amounts(response) == {"balance": 20, "held": 0, "available": 20}

    def test_rejects_more_than_is_available_and_keeps_the_hold_open(self, api, user):
        path = place_and_get_path(api(user))
        before = table_digests()

        response = api(user).post(f"{path}/capture", {"amount": 101})

        assert (response.status_code, response.json()["code"]) == (402, "insufficient_credits")
        assert table_digests() == before
        assert api(user).get(path).json()["status"] == "open"

    def test_allows_debt_for_a_service_only(self, api, user):
        path = place_and_get_path(api(user))

        refused = api(user).post(f"{path}/capture", {"amount": 130, "allowDebt": True})
        allowed = api(ServiceFactory.create()).post(f"{path}/capture", {"amount": 130, "allowDebt": True})

        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
        assert (allowed.status_code, allowed.json()["debt"], allowed.json()["available"]) == (200, 30, 0)

    def test_of_0_releases_the_hold(self, api, user):
        response = api(user).post(place_and_get_path(api(user)) + "/capture", {"amount": 0})

        assert amounts(response) == {"balance": 100, "held": 0, "available": 100}
        assert (response.json()["hold"]["status"], response.json()["transaction"]) == ("released", None)

    def test_links_the_transaction_to_the_hold(self, api, user):
        path = place_and_get_path(api(user))
        usage = api(user).post(f"{path}/capture", {}).json()["transaction"]["id"]

        explained = api(user).get(f"/api/credits/transactions/{usage}").json()

        assert explained["holdId"] == path.rsplit("/", 1)[-1]

    @pytest.mark.parametrize(("verb", "status"), [("capture", "captured"), ("release", "released")])
    def test_rejects_a_closed_hold_with_its_status(self, api, user, verb, status):
        path = place_and_get_path(api(user))
        api(user).post(f"{path}/{verb}", {})
        before = table_digests()

        response = api(user).post(f"{path}/capture", {})

        assert (response.status_code, response.json()["code"]) == (409, "hold_closed")
        assert response.json()["holdStatus"] == status
        assert table_digests() == before

    def test_rejects_a_lapsed_hold(self, api, user, clock_at):
        path = place_and_get_path(api(user))
        before = table_digests()
        clock_at(NOON + LIFETIME)

        response = api(user).post(f"{path}/capture", {})

        assert (response.status_code, response.json()["code"]) == (409, "hold_closed")
        assert response.json()["holdStatus"] == "lapsed"
        assert table_digests() == before


class TestReleaseHold:
    def test_returns_all_credits(self, api, user):
        response = api(user).post(place_and_get_path(api(user)) + "/release", {})

        assert amounts(response) == {"balance": 100, "held": 0, "available": 100}
        assert response.json()["hold"]["status"] == "released"


class TestExtendHold:
    def test_moves_the_expiry(self, api, user):
        response = api(user).post(place_and_get_path(api(user)) + "/extend", {"expiresInSeconds": 3600})

        assert response.json()["hold"]["expiresAt"] == "2025-03-03T13:00:00Z"

    def test_rejects_more_than_a_day(self, api, user):
        response = api(user).post(place_and_get_path(api(user)) + "/extend", {"expiresInSeconds": 86_401})

        assert response.json()["errors"][0]["field"] == "expiresInSeconds"


class TestPermissions:
    def test_the_actor_managers_admins_and_services_can_release_a_hold(self, api):
        placer = MembershipFactory.create(role="member")
        colleague, manager, owner = (
            MembershipFactory.create(organization=placer.organization, role=role)
            for role in ("member", "manager", "owner")
        )
        make_balance(placer.organization)
        pool = {"organizationId": str(placer.organization.pk)}

        for caller, status in (
            (placer.user, 200),
            (colleague.user, 403),
            (manager.user, 200),
            (owner.user, 200),
            (AdminFactory.create(), 200),
            (ServiceFactory.create(), 200),
            (UserFactory.create(), 404),
        ):
            path = place_and_get_path(api(placer.user), amount=10, **pool)
            assert api(caller).post(f"{path}/release", {}).status_code == status

    def test_an_owner_can_release_the_hold_of_a_removed_member(self, api):
        placer = MembershipFactory.create(role="member")
        owner = MembershipFactory.create(organization=placer.organization, role="owner")
        make_balance(placer.organization)
        path = place_and_get_path(api(placer.user), organizationId=str(placer.organization.pk))

        members = f"/api/organizations/{placer.organization.pk}/members/{placer.user.pk}"
        assert api(owner.user).delete(members).status_code == 204

        assert api(placer.user).post(f"{path}/release", {}).status_code == 404
        assert api(owner.user).post(f"{path}/release", {}).status_code == 200

    @pytest.mark.parametrize("verb", ["capture", "extend"])
    def test_an_owner_can_neither_capture_nor_extend_the_hold_of_a_member(self, api, verb):
        placer = MembershipFactory.create(role="member")
        owner = MembershipFactory.create(organization=placer.organization, role="owner")
        make_balance(placer.organization)
        path = place_and_get_path(api(placer.user), organizationId=str(placer.organization.pk))
        body = {"expiresInSeconds": 60} if verb == "extend" else {}

        assert api(owner.user).post(f"{path}/{verb}", body).status_code == 403

    @pytest.mark.parametrize(
        ("verb", "body"), [("capture", {}), ("capture", {"amount": 90}), ("extend", {"expiresInSeconds": 3600})]
    )
    def test_an_actor_that_became_a_viewer_can_only_release_a_hold(self, api, verb, body):
        membership = MembershipFactory.create(role="member")
        make_balance(membership.organization)
        path = place_and_get_path(api(membership.user), organizationId=str(membership.organization.pk))
        membership.role = "viewer"
        membership.save()
        before = table_digests()

        rejected = api(membership.user).post(f"{path}/{verb}", body)

        assert (rejected.status_code, rejected.json()["code"]) == (403, "permission_denied")
        assert table_digests() == before
        assert api(membership.user).post(f"{path}/release", {}).status_code == 200

    def test_a_hold_is_visible_to_those_who_see_the_balance(self, api, user):
        path = place_and_get_path(api(user))

        stranger = api(UserFactory.create()).get(path)

        assert (stranger.status_code, stranger.json()["code"]) == (404, "hold_not_found")
        assert api(user).get(path).json()["amount"] == 60

    def test_an_unknown_hold_is_not_found(self, api, user):
        response = api(user).post(f"{HOLDS}/{uuid4()}/capture", {})

        assert (response.status_code, response.json()["code"]) == (404, "hold_not_found")


class TestListHolds:
    def test_lists_newest_first_with_lapsed_holds_as_lapsed(self, api, user, clock_at):
        place_and_get_path(api(user), amount=10, expiresInSeconds=60)
        place_and_get_path(api(user), amount=20, expiresInSeconds=61)
        clock_at(NOON + timedelta(seconds=60))

        holds = api(user).get(HOLDS).json()["results"]

        assert [(hold["amount"], hold["status"]) for hold in holds] == [(20, "open"), (10, "lapsed")]
        assert [hold["amount"] for hold in api(user).get(HOLDS, {"status": "lapsed"}).json()["results"]] == [10]

    def test_is_empty_if_the_balance_does_not_exist(self, api):
        assert api(UserFactory.create()).get(HOLDS).json() == {"results": [], "next": None, "previous": None}
