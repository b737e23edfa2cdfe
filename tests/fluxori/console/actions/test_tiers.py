"""Staff actions on tiers and monthly allocations."""

from datetime import timedelta

from credits import queries
from fluxori.console.models import StaffAction
from fluxori.core import clock
from tests.fluxori.console.actions.helpers import perform, rejection
from tests.support.admin import text_of
from tests.support.factories.credits import make_user
from tests.support.staff import action_url, fill_form
from tiers import operations as tiers
from tiers.domain import errors
from tiers.models import MonthlyAllocation


class TestChangeTier:
    def test_a_change_now_replaces_the_tier(self, client, subscriber):
        preview, message, row = perform(client, action_url("tier", subscriber), tier="pro")

        assert "explorer → pro" in preview
        assert message == f"Changed {subscriber} to pro. Balance 400."
        assert (row.before["tier"], row.after["tier"]) == ("explorer", "pro")

    def test_a_change_to_the_current_tier_is_rejected_as_nothing_to_do(self, client, subscriber):
        url = action_url("tier", subscriber)

        preview = client.post(url, fill_form(client, url, tier="explorer"))

        assert "is already on explorer. There is nothing to do." in text_of(preview)

    def test_the_prorated_difference_counts_toward_the_ceiling(self, client, subscriber):
        tiers.add_monthly_allocation(owner=subscriber)

        preview, _, row = perform(client, action_url("tier", subscriber), tier="growth", proration="difference")

        assert row.transaction is not None
        given = row.transaction.amount
        assert 0 < given < 2000 - 400
        assert (row.credits, row.after["balance"]) == (given, 800 + given)
        assert f"800 → {800 + given:,}" in preview

    def test_a_change_in_the_next_period_has_no_difference(self, client, subscriber):
        url = action_url("tier", subscriber)

        response = client.post(url, fill_form(client, url, tier="pro", effective="nextPeriod", proration="difference"))

        assert list(response.context["form"].errors) == ["proration"]


class TestScheduledTierChange:
    def test_a_change_in_the_next_period_is_scheduled(self, client, subscriber):
        preview, message, row = perform(client, action_url("tier", subscriber), tier="pro", effective="nextPeriod")

        assert "none → pro on" in preview
        assert message == f"Changed {subscriber} to pro from the next month. Balance 400."
        assert (row.after["tier"], row.after["pending_tier"]["tier"]) == ("explorer", "pro")

    def test_a_scheduled_change_can_be_cancelled_once(self, client, subscriber):
        perform(client, action_url("tier", subscriber), tier="pro", effective="nextPeriod")
        url = action_url("cancel_tier_change", subscriber)

        client.post(url, {**fill_form(client, url), "confirmed": "yes"})
        repeated = client.post(url, fill_form(client, url))

        row = StaffAction.objects.get(action="cancel_tier_change")
        summary = f"Cancelled the scheduled tier change of {subscriber}, who stays on explorer. Balance 400."
        assert (row.summary, row.after["pending_tier"]) == (summary, None)
        assert repeated.context["form"].non_field_errors() == [f"{errors.NoScheduledChangeError.title}."]

    def test_the_record_shows_the_tier_after_due_changes(self, client, db):
        owner, anchor = make_user(), clock.now() - timedelta(days=40)
        tiers.initialize_balance(owner=owner, tier="growth", at=anchor)
        tiers.update_subscription_tier(owner=owner, tier="explorer", effective="nextPeriod", at=anchor)

        preview, _, row = perform(client, action_url("allocate", owner))

        assert "2,000 → 2,400" in preview
        assert row.before["tier"] == "explorer"


class TestEndSubscription:
    def test_an_end_now_is_previewed_and_recorded(self, client, subscriber):
        preview, message, row = perform(client, action_url("end_subscription", subscriber), effective="now")

        # One month was due.
        assert "400 → 800" in preview
        assert "explorer → none" in preview
        assert message == f"Ended the subscription of {subscriber}. Balance 400 → 800."
        assert (row.before["tier"], row.after["tier"], row.credits) == ("explorer", None, 0)
        entry = subscriber.credit_balance.tier_changes.get()
        assert (entry.kind, entry.actor_id, entry.reason) == ("end", row.actor_id, "Goodwill")

    def test_an_end_in_the_next_period_can_be_cancelled(self, client, subscriber):
        preview, message, row = perform(client, action_url("end_subscription", subscriber))
        cancel = action_url("cancel_tier_change", subscriber)
        client.post(cancel, {**fill_form(client, cancel), "confirmed": "yes"})

        assert "none → end on" in preview
        assert message.startswith(f"Ended the subscription of {subscriber} on ")
        assert row.after["pending_tier"]["tier"] is None
        cancelled = StaffAction.objects.get(action="cancel_tier_change")
        assert cancelled.summary.startswith(f"Cancelled the scheduled end of the subscription of {subscriber}")

    def test_a_balance_without_a_subscription_is_rejected(self, client, balance):
        url = action_url("end_subscription", balance)

        assert rejection(client, url) == f"{errors.NoSubscriptionError.title}."


class TestPauseSubscription:
    def test_a_pause_is_previewed_recorded_and_resumed(self, client, subscriber):
        preview, message, row = perform(client, action_url("pause_subscription", subscriber))
        url = action_url("resume_subscription", subscriber)
        resumed = client.post(url, fill_form(client, url))
        client.post(url, {**fill_form(client, url), "confirmed": "yes"})

        assert "Monthly allocations" in preview
        assert message == f"Paused the subscription of {subscriber}. Balance 400."
        assert (row.before["paused_at"], row.after["paused_at"]) == (None, row.created_at.isoformat())
        assert "Next allocation" in text_of(resumed)
        assert StaffAction.objects.get(action="resume_subscription").after["paused_at"] is None

    def test_a_resumption_without_a_pause_is_rejected(self, client, subscriber):
        assert rejection(client, action_url("resume_subscription", subscriber)) == f"{errors.NotPausedError.title}."


class TestAllocateMonth:
    def test_the_month_that_is_due_is_allocated_once(self, client, subscriber):
        url = action_url("allocate", subscriber)

        preview, message, row = perform(client, url)
        repeated = client.post(url, {**fill_form(client, url), "confirmed": "yes"})

        assert "400 → 800" in preview
        assert message == f"Allocated 400 credits to {subscriber}. Balance 400 → 800."
        assert row.credits == 0
        assert "already allocated" in repeated.context["form"].non_field_errors()[0]
        assert MonthlyAllocation.objects.count() == 1

    def test_the_initial_allocation_is_that_of_the_first_month(self, client, db):
        owner = make_user()
        tiers.initialize_balance(owner=owner, tier="enterprise")
        url = action_url("allocate", owner)

        response = client.post(url, {**fill_form(client, url), "confirmed": "yes"})

        assert "already allocated" in response.context["form"].non_field_errors()[0]
        assert queries.get_balance(owner=owner).balance == 20_000

    def test_a_balance_without_a_tier_gets_no_allocation(self, client, balance):
        assert rejection(client, action_url("allocate", balance)) == f"{errors.NoSubscriptionError.title}."
