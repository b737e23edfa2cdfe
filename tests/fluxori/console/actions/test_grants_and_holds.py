"""Staff actions on grants and holds."""

from credits import operations
from fluxori.console.models import StaffAction
from fluxori.core import clock
from tests.fluxori.console.actions.helpers import perform, rejection
from tests.support.admin import text_of
from tests.support.factories.credits import hold
from tests.support.staff import action_url, fill_form
from tests.support.times import DAY


class TestVoidGrant:
    def test_voiding_a_grant_removes_its_remaining_credits(self, client, balance):
        grant = balance.grants.get(amount=20)

        preview, message, row = perform(client, action_url("void", balance, grant=grant.pk))

        assert "120 → 100" in preview
        assert message == f"Voided a grant of {balance.user}, removing 20 credits. Balance 120 → 100."
        assert (row.subject_grant_id, row.transaction.type) == (grant.pk, "void")

    def test_a_grant_can_be_voided_while_all_its_credits_are_held(self, client, balance):
        hold(balance, 20, at=clock.now())
        grant = balance.grants.get(amount=20)

        preview, _, row = perform(client, action_url("void", balance, grant=grant.pk))

        assert "removed when the hold ends" in preview
        assert row.transaction is None

    def test_voiding_a_voided_grant_is_rejected_as_nothing_to_do(self, client, balance):
        grant = balance.grants.get(amount=20)
        operations.void_grant(grant_id=grant.pk, reason="Before")
        url = action_url("void", balance, grant=grant.pk)
        form = fill_form(client, url)

        preview = client.post(url, form)
        confirmed = client.post(url, {**form, "confirmed": "yes"})

        assert "There is nothing to do." in text_of(preview)
        assert 'name="confirmed"' not in text_of(preview)
        assert "There is nothing to do." in confirmed.context["form"].non_field_errors()[0]
        assert not StaffAction.objects.exists()


class TestExtendGrant:
    def test_extending_a_grant_moves_its_credits_to_a_later_expiry(self, client, balance):
        grant = balance.grants.get(amount=20)
        url = action_url("extend", balance, grant=grant.pk)

        preview, _, row = perform(client, url, expires_at="2050-03-01T00:00")

        assert "2050" in preview
        assert (row.transaction.amount, row.credits) == (0, 0)
        assert balance.grants.get(transaction=row.transaction).expires_at.year == 2050

    def test_the_new_expiry_must_be_later(self, client, balance):
        grant = balance.grants.get(amount=20)
        url = action_url("extend", balance, grant=grant.pk)
        tomorrow = (clock.now() + DAY).strftime("%Y-%m-%dT%H:%M")

        response = client.post(url, fill_form(client, url, expires_at=tomorrow))

        assert list(response.context["form"].errors) == ["expires_at"]


class TestReleaseHold:
    def test_releasing_a_hold_makes_its_credits_available(self, client, balance):
        held = hold(balance, 30, at=clock.now())

        preview, message, row = perform(client, action_url("release", balance, hold=held.pk))

        assert "90 → 120" in preview
        assert message == f"Released 30 credits held for {balance.user}. Balance 120."
        assert (row.subject_hold_id, row.before["held"], row.after["held"]) == (held.pk, 30, 0)

    def test_a_closed_hold_cannot_be_released(self, client, balance):
        held = hold(balance, 30, at=clock.now())
        operations.release_hold(hold_id=held.pk)

        error = rejection(client, action_url("release", balance, hold=held.pk))

        assert error == "The hold was released."
