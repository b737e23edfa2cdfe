"""Every act of staff: what it does to the ledger, what it says, and what is written down of it."""

from datetime import timedelta
from typing import Any

import pytest

from credits import operations
from credits.models import CreditTransaction
from credits.verification import verify_balance
from fluxori.console.models import StaffAction
from fluxori.core import clock
from tests.support.admin import said, superuser_client, words
from tests.support.factories.credits import deduct, hold, make_balance, make_user
from tests.support.factories.identity import MembershipFactory
from tests.support.staff import minted, page_of
from tests.support.times import DAY
from tiers import operations as tiers
from tiers.models import MonthlyAllocation


@pytest.fixture
def client(db):
    return superuser_client()


@pytest.fixture
def balance(db):
    return make_balance(grants=[(100, None), (20, 30 * DAY)], at=clock.now())


@pytest.fixture
def subscribed(db):
    """Somebody who had their 400 credits forty days ago and nothing since: a month is due."""
    owner = make_user()
    tiers.initialize_balance(owner=owner, tier="explorer", at=clock.now() - timedelta(days=40))
    return owner


def do(client, page, **asked):
    """Return what the preview says, what is said when it is done, and the record."""
    form = minted(client, page, **asked)
    preview = client.post(page, form)
    assert not StaffAction.objects.exists()
    done = client.post(page, {**form, "confirmed": "yes"}, follow=True)
    assert done.context["messages"], done.context["form"].errors
    row = StaffAction.objects.get()
    assert verify_balance(row.balance_id).differences == ()
    assert preview.context["preview"].button.split()[1:] == said(done)[0].split(". Balance")[0].split()[1:]
    return words(preview), said(done)[0], row


def refused(client, page, **asked):
    """Return how the form says the refusal: in the preview and, all the same, when it is confirmed."""
    form = minted(client, page, **asked)
    early = client.post(page, form).context["form"].non_field_errors()
    late = client.post(page, {**form, "confirmed": "yes"}).context["form"].non_field_errors()
    assert early == late
    assert not StaffAction.objects.exists()
    return early[0]


class TestAdjusting:
    def test_puts_a_balance_up(self, client, balance):
        preview, done, row = do(client, page_of("adjust", balance), amount="30")

        assert "120 → 150" in preview
        assert done == f"Adjusted {balance.user} up by 30 credits. Balance 120 → 150."
        assert (row.transaction.type, row.credits) == ("adjustment", 30)

    def test_puts_a_balance_down_which_gives_nothing(self, client, balance):
        _, done, row = do(client, page_of("adjust", balance), amount="-30")

        assert done == f"Adjusted {balance.user} down by 30 credits. Balance 120 → 90."
        assert (row.transaction.amount, row.credits) == (-30, 0)

    def test_never_takes_more_than_is_available(self, client, balance):
        assert "120 are available" in refused(client, page_of("adjust", balance), amount="-121")

    def test_needs_a_balance(self, client, db):
        assert refused(client, page_of("adjust", make_user()), amount="5") == "Nobody opened this balance."


class TestRefunding:
    def test_offers_what_is_left_and_links_both_ways(self, client, balance):
        usage = deduct(balance, 40, at=clock.now())
        operations.refund_usage(transaction_id=usage.pk, amount=15, reason="Part")
        page = page_of("refund", balance, transaction=usage.pk)

        assert client.get(page).context["form"]["amount"].value() == 25
        preview, done, row = do(client, page)

        assert "95 → 120" in preview
        assert done == f"Refunded 25 credits to {balance.user}. Balance 95 → 120."
        assert (row.of_transaction_id, row.transaction.reverses_id, row.credits) == (usage.pk, usage.pk, 0)

    def test_says_what_expired_meanwhile(self, client, db):
        past = clock.now() - 10 * DAY
        balance = make_balance(grants=[(50, 5 * DAY)], at=past)
        usage = deduct(balance, 40, at=past)

        preview, _, row = do(client, page_of("refund", balance, transaction=usage.pk))

        assert "gone at once" in preview
        assert row.after["available"] == 0

    def test_with_a_new_expiry_gives_by_hand_what_had_expired(self, client, db):
        past = clock.now() - 10 * DAY
        balance = make_balance(grants=[(50, 5 * DAY)], at=past)
        usage = deduct(balance, 40, at=past)

        _, _, row = do(client, page_of("refund", balance, transaction=usage.pk), expires_at="2050-01-01T00:00")

        assert (row.after["available"], row.credits) == (40, 40)

    def test_never_gives_back_more_than_was_used(self, client, balance):
        usage = deduct(balance, 40, at=clock.now())

        said = refused(client, page_of("refund", balance, transaction=usage.pk), amount="41")

        assert said == "More than was used and not yet refunded."

    def test_is_of_usage_only(self, client, balance):
        given = balance.transactions.order_by("sequence").first()

        page = page_of("refund", balance, transaction=given.pk)

        assert refused(client, page, amount="1") == "Only usage can be refunded."


class TestReversing:
    def test_takes_a_purchase_back_and_owes_what_was_spent(self, client, db):
        balance = make_balance(type="purchase", at=clock.now())
        deduct(balance, 30, at=clock.now())
        bought = balance.transactions.get(type="purchase")

        preview, done, row = do(client, page_of("reverse", balance, transaction=bought.pk))

        assert "0 → 30" in preview
        assert done == f"Reversed 100 credits bought by {balance.user}. Balance 70 → -30."
        assert (row.after["debt"], row.of_transaction_id, row.credits) == (30, bought.pk, 0)

    def test_suggests_a_chargeback(self, client, db):
        balance = make_balance(type="purchase")
        page = page_of("reverse", balance, transaction=balance.transactions.get().pk)

        assert client.get(page).context["form"]["reason"].value() == "chargeback"


class TestGrants:
    def test_are_voided(self, client, balance):
        grant = balance.grants.get(amount=20)

        preview, done, row = do(client, page_of("void", balance, grant=grant.pk))

        assert "120 → 100" in preview
        assert done == f"Voided a grant of {balance.user}, taking 20 credits. Balance 120 → 100."
        assert (row.of_grant_id, row.transaction.type) == (grant.pk, "void")

    def test_are_voided_though_all_is_held(self, client, balance):
        hold(balance, 20, at=clock.now())
        grant = balance.grants.get(amount=20)

        preview, _, row = do(client, page_of("void", balance, grant=grant.pk))

        assert "leaves when the work ends" in preview
        assert row.transaction is None

    def test_are_not_voided_twice(self, client, balance):
        grant = balance.grants.get(amount=20)
        operations.void_grant(grant_id=grant.pk, reason="Before")
        page = page_of("void", balance, grant=grant.pk)
        form = minted(client, page)

        preview = client.post(page, form)
        confirmed = client.post(page, {**form, "confirmed": "yes"})

        assert "There is nothing to do." in words(preview)
        assert 'name="confirmed"' not in words(preview)
        assert "There is nothing to do." in confirmed.context["form"].non_field_errors()[0]
        assert not StaffAction.objects.exists()

    def test_are_extended(self, client, balance):
        grant = balance.grants.get(amount=20)

        preview, _, row = do(client, page_of("extend", balance, grant=grant.pk), expires_at="2050-03-01T00:00")

        assert "2050" in preview
        assert (row.transaction.amount, row.credits) == (0, 0)
        assert row.transaction.opened.get().expires_at.year == 2050

    def test_are_never_extended_backwards(self, client, balance):
        grant = balance.grants.get(amount=20)
        page = page_of("extend", balance, grant=grant.pk)
        soon = (clock.now() + DAY).strftime("%Y-%m-%dT%H:%M")

        answer = client.post(page, minted(client, page, expires_at=soon))

        assert answer.context["form"].errors["expires_at"] == ["It must be later than it is now."]


class TestHolds:
    def test_are_released(self, client, balance):
        held = hold(balance, 30, at=clock.now())

        preview, done, row = do(client, page_of("release", balance, hold=held.pk))

        assert "90 → 120" in preview
        assert done == f"Released 30 credits held for {balance.user}. Balance 120."
        assert (row.of_hold_id, row.before["held"], row.after["held"]) == (held.pk, 30, 0)

    def test_are_released_once(self, client, balance):
        held = hold(balance, 30, at=clock.now())
        operations.release_hold(hold_id=held.pk)

        said = refused(client, page_of("release", balance, hold=held.pk))

        assert said == "The hold was captured, released or has lapsed."


class TestTiers:
    def test_are_changed(self, client, subscribed):
        preview, done, row = do(client, page_of("tier", subscribed), tier="pro")

        assert "explorer → pro" in preview
        assert done == f"Changed {subscribed} to pro. Balance 400."
        assert (row.before["tier"], row.after["tier"]) == ("explorer", "pro")

    def test_are_not_changed_to_what_they_are(self, client, subscribed):
        page = page_of("tier", subscribed)

        preview = client.post(page, minted(client, page, tier="explorer"))

        assert "is on explorer already. There is nothing to do." in words(preview)

    def test_are_changed_with_the_difference_which_is_given_by_hand(self, client, subscribed):
        tiers.add_monthly_allocation(owner=subscribed)

        preview, _, row = do(client, page_of("tier", subscribed), tier="growth", proration="difference")

        assert row.transaction is not None
        given = row.transaction.amount
        assert 0 < given < 2000 - 400
        assert (row.credits, row.after["balance"]) == (given, 800 + given)
        assert f"800 → {800 + given:,}" in preview

    def test_are_changed_in_the_next_month_unless_that_is_cancelled(self, client, subscribed):
        preview, done, row = do(client, page_of("tier", subscribed), tier="pro", effective="nextPeriod")

        assert "nothing → pro on" in preview
        assert done == f"Changed {subscribed} to pro from the next month on. Balance 400."
        assert (row.after["tier"], row.after["pending_tier"]["tier"]) == ("explorer", "pro")
        page = page_of("keep-tier", subscribed)
        client.post(page, {**minted(client, page), "confirmed": "yes"})
        kept = StaffAction.objects.get(act="keep-tier")
        assert (kept.said, kept.after["pending_tier"]) == (f"Kept {subscribed} on explorer. Balance 400.", None)
        again = client.post(page, minted(client, page))
        assert again.context["form"].non_field_errors() == ["No change of tier is scheduled."]

    def test_grant_no_difference_in_the_next_month(self, client, subscribed):
        page = page_of("tier", subscribed)

        answer = client.post(page, minted(client, page, tier="pro", effective="nextPeriod", proration="difference"))

        assert list(answer.context["form"].errors) == ["proration"]

    def test_are_looked_at_as_they_stand_by_then(self, client, db):
        owner, anchor = make_user(), clock.now() - timedelta(days=40)
        tiers.initialize_balance(owner=owner, tier="growth", at=anchor)
        tiers.update_subscription_tier(owner=owner, tier="explorer", effective="nextPeriod", at=anchor)

        preview, _, row = do(client, page_of("allocate", owner))

        assert "2,000 → 2,400" in preview
        assert row.before["tier"] == "explorer"

    def test_give_the_month_that_is_due_once(self, client, subscribed):
        preview, done, row = do(client, page_of("allocate", subscribed))

        assert "400 → 800" in preview
        assert done == f"Allocated 400 credits to {subscribed}. Balance 400 → 800."
        assert row.credits == 0
        page = page_of("allocate", subscribed)
        again = client.post(page, {**minted(client, page), "confirmed": "yes"})
        assert "allocated already" in again.context["form"].non_field_errors()[0]
        assert MonthlyAllocation.objects.count() == 1

    def test_give_no_month_to_a_balance_without_one(self, client, balance):
        assert refused(client, page_of("allocate", balance)) == "The balance has no tier."


class TestSpending:
    def test_is_suspended_and_resumed(self, client, balance):
        _, done, row = do(client, page_of("suspend", balance), reason="fraud")

        assert done == f"Suspended spending of {balance.user}. Balance 120."
        assert (row.before["suspended_at"], row.after["suspended_at"] is None) == (None, False)
        page = page_of("resume", balance)
        client.post(page, {**minted(client, page), "confirmed": "yes"})
        balance.refresh_from_db()
        assert balance.suspended_at is None

    def test_is_not_resumed_where_it_is_not_suspended(self, client, balance):
        page = page_of("resume", balance)

        assert "There is nothing to do." in words(client.post(page, minted(client, page)))


class TestLimits:
    def test_are_set_and_removed(self, client, balance):
        preview, done, row = do(client, page_of("limit", balance), amount="50", period="day")

        assert f"Limit {balance.user} to 50 credits a day" in preview
        assert done == f"Limited {balance.user} to 50 credits a day. Balance 120."
        limit = {"member": None, "period": "day", "amount": 50}
        assert (row.before["limits"], row.after["limits"]) == ([], [limit])
        page = page_of("unlimit", balance, limit=balance.limits.get().pk)
        client.post(page, {**minted(client, page), "confirmed": "yes"})
        removed = StaffAction.objects.get(act="unlimit")
        assert (removed.before["limits"], removed.after["limits"]) == ([limit], [])
        assert client.get(page).status_code == 404

    def test_are_set_for_a_member(self, client, db):
        seat: Any = MembershipFactory()
        make_balance(seat.organization)

        _, _, row = do(
            client, page_of("limit", seat.organization), amount="0", period="month", member=seat.user.email.upper()
        )

        assert row.after["limits"] == [{"member": str(seat.user.pk), "period": "month", "amount": 0}]

    def test_are_not_set_twice(self, client, balance):
        operations.set_limit(owner=balance.owner, amount=50, period="day")
        page = page_of("limit", balance)

        assert "in force already" in words(client.post(page, minted(client, page, amount="50", period="day")))

    def test_are_of_members_only(self, client, balance):
        page = page_of("limit", balance)

        nobody = client.post(page, minted(client, page, amount="5", period="day", member="nobody@example.test"))
        other = client.post(page, minted(client, page, amount="5", period="day", member=make_user().email))

        assert nobody.context["form"].non_field_errors() == ["There is no such user."]
        assert "Only an organization has members." in other.context["form"].non_field_errors()[0]


class TestThePreview:
    def test_writes_nothing_at_all(self, client, balance):
        before = list(CreditTransaction.objects.values()), balance.version
        page = page_of("add", balance)

        client.post(page, minted(client, page, amount="5", type="promotion"))

        balance.refresh_from_db()
        assert (list(CreditTransaction.objects.values()), balance.version) == before
