"""Reports that fail: the customer pays for what she gets, and only once."""

import pytest

from credits import operations, queries
from credits.verification import verify_balance
from fluxori.core import clock
from tests.support.factories.credits import make_balance, make_user
from tests.support.processes import WORKING, kill_while_working, start_python
from tests.support.times import MINUTE, NOON, SECOND


class ModelUnavailableError(Exception):
    """The failure of the AI model."""


class Customer:
    """A customer with 100 credits."""

    def __init__(self):
        self.user = make_user()
        self.account = make_balance(self.user)

    def sees(self):
        """Return (balance, held, available) as the console shows them now."""
        now = queries.get_balance(owner=self.user)
        return now.balance, now.held, now.available

    def history(self):
        transactions = queries.get_transaction_history(owner=self.user).order_by("sequence")
        return [(transaction.type, transaction.amount, transaction.balance_after) for transaction in transactions]

    def holds(self):
        return [(held.status, held.captured) for held in self.account.holds.order_by("id")]


class Model:
    """An AI model that fails ``failures`` times and reads the customer's balance while it works."""

    def __init__(self, customer, failures):
        self.customer, self.failures = customer, failures
        self.seen = []

    def write(self):
        self.seen.append(self.customer.sees())
        if len(self.seen) <= self.failures:
            raise ModelUnavailableError
        return "the report"


@pytest.mark.django_db
def test_a_report_that_fails_twice_and_succeeds_the_third_time(clock_at):
    clock_at(NOON)
    lerato = Customer()
    model = Model(lerato, failures=2)
    assert lerato.sees() == (100, 0, 100)

    def report():
        with operations.charge(owner=lerato.user, actor=lerato.user, feature="ai-generated-report") as charge:
            return model.write(), charge

    # She requests a report. A hold reserves its 40 credits while the model works. The model fails; they are released.
    with pytest.raises(ModelUnavailableError):
        report()
    assert model.seen == [(100, 40, 60)]
    assert lerato.sees() == (100, 0, 100)

    # A minute later she tries again, and the model fails again. No refund is needed, because nothing was charged.
    clock_at(NOON + MINUTE)
    with pytest.raises(ModelUnavailableError):
        report()
    assert lerato.sees() == (100, 0, 100)
    assert lerato.history() == [("promotion", 100, 100)]

    # The third time the report succeeds and is charged.
    clock_at(NOON + 2 * MINUTE)
    written, charge = report()
    assert (written, charge.transaction.amount) == ("the report", -40)
    assert model.seen[1:] == [(100, 40, 60)] * 2
    assert lerato.sees() == (60, 0, 60)

    # Her history shows one report; the two failures are released holds.
    assert lerato.history() == [("promotion", 100, 100), ("usage", -40, 60)]
    assert lerato.holds() == [("released", 0), ("released", 0), ("captured", 40)]
    assert verify_balance(lerato.user.pk).differences == ()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_report_whose_process_is_killed(clock_at):
    lerato = Customer()

    # The process that writes her report is killed.
    kill_while_working(start_python("-c", WORKING, str(lerato.user.pk), "40", "900"))
    held = lerato.account.holds.get()

    # For 15 minutes the hold keeps her 40 credits reserved, and she can spend the other 60.
    assert held.expires_at - held.created_at == 15 * MINUTE
    clock_at(held.expires_at - SECOND)
    assert lerato.sees() == (100, 40, 60)
    with pytest.raises(operations.InsufficientCreditsError):
        operations.deduct_credits(owner=lerato.user, amount=61, description="An insight", at=clock.now())

    # Then the hold lapses, to the second, although the expiry job has not run.
    clock_at(held.expires_at)
    assert lerato.sees() == (100, 0, 100)

    # She tries again and receives her report. The old hold can no longer be captured.
    with operations.charge(owner=lerato.user, feature="ai-generated-report"):
        pass
    assert lerato.sees() == (60, 0, 60)
    with pytest.raises(operations.HoldClosedError):
        operations.capture_hold(hold_id=held.pk, at=clock.now())
    assert lerato.history() == [("promotion", 100, 100), ("usage", -40, 60)]
    assert lerato.holds() == [("lapsed", 0), ("captured", 40)]
    assert verify_balance(lerato.user.pk).differences == ()
