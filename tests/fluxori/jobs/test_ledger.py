"""No operation of the ledger adds a job or sends NOTIFY: both take a lock of the whole server at commit."""

import pytest
from django.db import connection
from procrastinate.contrib.django.models import ProcrastinateJob

from credits.models import CreditHold, CreditTransaction
from tests.credits.operations import verbs
from tests.support.factories.credits import deduct, make_balance
from tests.support.times import DAY, HOUR, NOON
from tiers import operations as tiers


def run_every_verb() -> None:
    balance = make_balance(grants=[(500, None), (50, DAY)])
    tiers.initialize_balance(owner=balance.owner, tier="explorer", at=NOON)
    purchase = verbs.add_credits(balance.owner).transaction
    deduct(balance, 5)
    usage = verbs.deduct_feature(balance).transaction
    verbs.refund_usage(usage)
    verbs.reverse_purchase(purchase)
    verbs.adjust_credits(balance, 10)
    captured, released = (verbs.place_hold(balance, 10).hold for _ in range(2))
    verbs.extend_hold(captured)
    verbs.capture_hold(captured)
    verbs.release_hold(released)
    limit = verbs.set_limit(balance).limit
    verbs.remove_limit(limit)
    verbs.suspend_spending(balance)
    verbs.resume_spending(balance)
    tiers.add_monthly_allocation(owner=balance.owner, at=NOON)
    tiers.update_subscription_tier(owner=balance.owner, tier="growth", at=NOON)
    verbs.expire_credits(balance, at=NOON + DAY + HOUR)


@pytest.mark.django_db
class TestLedger:
    def test_adds_no_job_in_any_verb(self, clock_at):
        clock_at(NOON + DAY + HOUR)
        run_every_verb()

        assert CreditTransaction.objects.count() > 8
        assert CreditHold.objects.count() == 2
        assert not ProcrastinateJob.objects.exists()

    def test_has_no_trigger_that_sends_notify(self):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
                " JOIN pg_proc p ON p.oid = t.tgfoid WHERE p.prosrc ~* 'notify'"
            )
            tables = cursor.fetchall()

        assert tables == [("procrastinate_jobs",)]
