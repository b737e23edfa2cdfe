"""Staff actions on the credits of a balance: add, adjust, refund, reverse."""

from credits import operations
from credits.domain import errors
from credits.models import CreditTransaction
from fluxori.console.links import change_url
from fluxori.core import clock
from tests.fluxori.console.actions.helpers import perform, rejection
from tests.support.admin import text_of
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.factories.identity import OrganizationFactory
from tests.support.staff import action_url, fill_form
from tests.support.times import DAY


class TestPreview:
    def test_a_preview_writes_nothing(self, client, balance):
        before = list(CreditTransaction.objects.values()), balance.version
        url = action_url("add", balance)

        client.post(url, fill_form(client, url, amount="5", type="promotion"))

        balance.refresh_from_db()
        assert (list(CreditTransaction.objects.values()), balance.version) == before


class TestAdjustCredits:
    def test_an_adjustment_up_gives_credits_that_count_toward_the_ceiling(self, client, balance):
        preview, message, row = perform(client, action_url("adjust", balance), amount="30")

        assert "120 → 150" in preview
        assert message == f"Adjusted {balance.user} up by 30 credits. Balance 120 → 150."
        assert (row.transaction.type, row.credits) == ("adjustment", 30)

    def test_an_adjustment_down_does_not_count_toward_the_ceiling(self, client, balance):
        _, message, row = perform(client, action_url("adjust", balance), amount="-30")

        assert message == f"Adjusted {balance.user} down by 30 credits. Balance 120 → 90."
        assert (row.transaction.amount, row.credits) == (-30, 0)

    def test_an_adjustment_down_cannot_exceed_the_available_credits(self, client, balance):
        assert "120 are available" in rejection(client, action_url("adjust", balance), amount="-121")

    def test_an_adjustment_needs_an_existing_balance(self, client, db):
        error = rejection(client, action_url("adjust", make_user()), amount="5")

        assert error == f"{errors.BalanceNotFoundError.title}."


class TestTransferCredits:
    def test_a_transfer_shows_both_balances_and_links_both_transactions(self, client, balance):
        recipient = make_user()
        make_balance(recipient, grants=[(10, None)], at=clock.now())

        preview, message, row = perform(client, action_url("transfer", balance), amount="30", to=recipient.email)

        assert f"Balance of {recipient}" in preview
        assert "10 → 40" in preview
        assert message == f"Transferred 30 credits from {balance.user} to {recipient}. Balance 120 → 90."
        assert (row.transaction.type, row.credits) == ("transfer", 0)
        page = text_of(client.get(change_url("credits_credittransaction", row.transaction_id)))
        assert change_url("credits_credittransaction", row.transaction.counterpart_id) in page

    def test_a_transfer_can_go_to_an_organization(self, client, balance):
        organization = OrganizationFactory.create(external_id="acme")
        make_balance(organization, at=clock.now())

        _, message, _ = perform(client, action_url("transfer", balance), amount="1", to="acme")

        assert message.startswith(f"Transferred 1 credit from {balance.user} to {organization}.")

    def test_an_unknown_recipient_is_rejected(self, client, balance):
        for unknown in ("nobody@example.test", "nothing"):
            assert "There is no such" in rejection(client, action_url("transfer", balance), amount="1", to=unknown)

    def test_a_transfer_cannot_exceed_the_available_credits(self, client, balance):
        recipient = make_user()
        make_balance(recipient, at=clock.now())

        error = rejection(client, action_url("transfer", balance), amount="121", to=recipient.email)

        assert "120 are available" in error


class TestRefundUsage:
    def test_a_refund_suggests_the_rest_and_links_to_the_usage(self, client, balance):
        usage = deduct(balance, 40, at=clock.now())
        operations.refund_usage(transaction_id=usage.transaction.id, amount=15, reason="Part")
        url = action_url("refund", balance, transaction=usage.transaction.id)

        assert client.get(url).context["form"]["amount"].value() == 25
        preview, message, row = perform(client, url)

        assert "95 → 120" in preview
        assert message == f"Refunded 25 credits to {balance.user}. Balance 95 → 120."
        assert (row.subject_transaction_id, row.transaction.reverses_id, row.credits) == (
            usage.transaction.id,
            usage.transaction.id,
            0,
        )

    def test_a_refund_preview_shows_credits_that_expire_at_once(self, client, db):
        past = clock.now() - 10 * DAY
        balance = make_balance(grants=[(50, 5 * DAY)], at=past)
        usage = deduct(balance, 40, at=past)

        preview, _, row = perform(client, action_url("refund", balance, transaction=usage.transaction.id))

        assert "Expired, removed at once" in preview
        assert row.after["available"] == 0

    def test_a_refund_with_a_new_expiry_counts_expired_credits_toward_the_ceiling(self, client, db):
        past = clock.now() - 10 * DAY
        balance = make_balance(grants=[(50, 5 * DAY)], at=past)
        usage = deduct(balance, 40, at=past)
        url = action_url("refund", balance, transaction=usage.transaction.id)

        _, _, row = perform(client, url, expires_at="2050-01-01T00:00")

        assert (row.after["available"], row.credits) == (40, 40)

    def test_a_refund_cannot_exceed_the_usage(self, client, balance):
        usage = deduct(balance, 40, at=clock.now())

        error = rejection(client, action_url("refund", balance, transaction=usage.transaction.id), amount="41")

        assert error == f"{errors.RefundExceedsUsageError.title}."

    def test_only_usage_can_be_refunded(self, client, balance):
        grant_transaction = balance.transactions.order_by("sequence").first()

        error = rejection(client, action_url("refund", balance, transaction=grant_transaction.pk), amount="1")

        assert error == f"{errors.NotRefundableError.title}."


class TestReversePurchase:
    def test_a_reversal_of_spent_credits_creates_debt(self, client, db):
        balance = make_balance(type="purchase", at=clock.now())
        deduct(balance, 30, at=clock.now())
        purchase = balance.transactions.get(type="purchase")

        preview, message, row = perform(client, action_url("reverse", balance, transaction=purchase.pk))

        assert "0 → 30" in preview
        assert message == f"Reversed 100 credits bought by {balance.user}. Balance 70 → -30."
        assert (row.after["debt"], row.subject_transaction_id, row.credits) == (30, purchase.pk, 0)

    def test_a_reversal_suggests_chargeback_as_the_reason(self, client, db):
        balance = make_balance(type="purchase")
        url = action_url("reverse", balance, transaction=balance.transactions.get().pk)

        assert client.get(url).context["form"]["reason"].value() == "chargeback"
