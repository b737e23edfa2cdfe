import pytest

from credits import operations
from tests.support.factories.credits import make_balance, make_user
from tests.support.factories.identity import AdminFactory
from tests.support.ledger import table_digests
from tests.support.times import NOON

pytestmark = pytest.mark.django_db

REASON = {"reason": "It failed"}


class TestVoidPinnedGrant:
    """Pinned credits of a voided grant can still be captured; they leave the balance when their hold ends."""

    @pytest.fixture
    def user(self, noon):
        user = make_user()
        make_balance(user)
        return user

    @pytest.fixture
    def admin(self, api):
        return api(AdminFactory.create())

    def voided(self, admin, user):
        hold = operations.place_hold(owner=user, amount=60, description="Work", at=NOON)
        grant_id = user.credit_balance.grants.get().pk
        response = admin.post(f"/api/credits/grants/{grant_id}/void", REASON)
        return response, f"/api/credits/grants/{grant_id}/void", f"/api/credits/holds/{hold.hold.id}"

    def test_removes_the_unpinned_credits_and_keeps_the_hold_open(self, user, admin):
        response, _, hold_path = self.voided(admin, user)

        assert (response.status_code, response.json()["transaction"]["amount"]) == (200, -40)
        assert {name: response.json()[name] for name in ("balance", "held", "available")} == {
            "balance": 60,
            "held": 60,
            "available": 0,
        }
        assert admin.get(hold_path).json()["status"] == "open"

    def test_lets_the_hold_be_captured(self, user, admin):
        _, _, hold_path = self.voided(admin, user)

        captured = admin.post(f"{hold_path}/capture", {"amount": 45}).json()

        assert (captured["transaction"]["amount"], captured["balance"], captured["available"]) == (-45, 0, 0)

    def test_removes_the_pinned_credits_when_the_hold_is_released(self, user, admin):
        _, _, hold_path = self.voided(admin, user)

        released = admin.post(f"{hold_path}/release", {}).json()

        assert (released["balance"], released["available"]) == (0, 0)
        latest = user.credit_balance.transactions.latest("sequence")
        assert (latest.type, latest.amount) == ("void", -60)

    def test_writes_nothing_for_a_second_void(self, user, admin):
        _, void, _ = self.voided(admin, user)
        before = table_digests()

        repeated = admin.post(void, REASON)

        assert (repeated.status_code, repeated.json()["transaction"]) == (200, None)
        assert table_digests() == before

    def test_writes_no_transaction_if_all_credits_are_pinned(self, user, admin):
        operations.place_hold(owner=user, amount=100, description="Work", at=NOON)

        response = admin.post(f"/api/credits/grants/{user.credit_balance.grants.get().pk}/void", REASON)

        assert (response.status_code, response.json()["transaction"], response.json()["held"]) == (200, None, 100)
        assert user.credit_balance.grants.get().voided_at == NOON
