import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.models import Count, Sum

from credits import verification
from credits.models import CreditBalance, CreditHold, CreditRequest, CreditTransaction
from fluxori.devtools.bench import seeding
from fluxori.identity.models import Membership, Organization, User
from tests.support.factories.credits import make_balance
from tests.support.times import NOON
from tiers.models import MonthlyAllocation, Subscription


def seed(*arguments):
    """Run the command and return its JSON output."""
    out = StringIO()
    options = ["--at", NOON.isoformat(), "--processes", "1", "--json", *map(str, arguments)]
    call_command("seed_ledger", *options, stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def differences():
    return [difference for findings in verification.verify_all(chunk=50) for difference in findings.differences]


def transaction_values():
    """Return all transactions without the ids of their rows."""
    columns = ("balance", "sequence", "type", "amount", "timestamp", "description", "reference_id", "member")
    return list(CreditTransaction.objects.order_by("balance", "sequence").values_list(*columns))


@pytest.mark.django_db
class TestSeedLedger:
    def test_writes_a_valid_ledger_of_the_requested_size(self):
        written = seed("--transactions", 2000, "--balances", 40)

        assert 2000 <= written["transactions"] <= 2100
        assert written["transactions"] == CreditTransaction.objects.count()
        assert written["balances"] == CreditBalance.objects.count() == 40
        assert differences() == []

    def test_rejects_an_end_in_the_future(self):
        with pytest.raises(CommandError, match="is in the future") as error:
            call_command("seed_ledger", "--transactions", "9", "--at", "2999-01-01T00:00:00Z")

        assert error.value.returncode == 1
        assert not CreditBalance.objects.exists()

    def test_writes_every_type_of_transaction_and_hold(self):
        seed("--transactions", 4000, "--balances", 60)

        kinds = set(CreditTransaction.objects.values_list("type", flat=True))
        assert kinds >= {"allocation", "purchase", "promotion", "usage", "refund", "expiry"}
        assert set(CreditHold.objects.values_list("status", flat=True)) >= {"captured", "released"}
        assert CreditTransaction.objects.filter(type="usage").aggregate(Count("feature", distinct=True)) == {
            "feature__count": 4
        }
        assert CreditRequest.objects.exists()
        assert Organization.objects.exists()
        assert Membership.objects.filter(role="owner").count() == Organization.objects.count()

    def test_allocates_every_month_that_has_begun(self):
        seed("--transactions", 1000, "--balances", 20)

        assert Subscription.objects.count() == 20
        assert not Subscription.objects.filter(next_allocation_at__lte=NOON).exists()
        months = MonthlyAllocation.objects.aggregate(Sum("credits"))["credits__sum"]
        given = CreditTransaction.objects.filter(type="allocation").exclude(sequence=1).aggregate(Sum("amount"))
        assert months == given["amount__sum"]

    def test_writes_the_same_history_for_the_same_seed(self):
        histories = []
        for number in (5, 5, 6):
            with transaction.atomic():
                seed("--transactions", 400, "--seed", number)
                histories.append(transaction_values())
                transaction.set_rollback(True)

        first, again, other = histories
        assert first == again
        assert first != other

    def test_writes_a_long_history_in_several_commits(self, monkeypatch):
        monkeypatch.setattr(seeding, "PART_SIZE", 300)

        written = seed("--transactions", 20, "--balances", 1, "--hot", 1000)

        owner = User.objects.get(email=written["hot"])
        assert 1000 <= owner.credit_balance.sequence <= 1010
        assert differences() == []

    def test_writes_no_transaction_outside_the_requested_time(self):
        seed("--transactions", 500, "--months", 2)

        instants = CreditTransaction.objects.values_list("timestamp", flat=True)
        assert min(instants) >= NOON - timedelta(days=60)
        assert max(instants) <= NOON

    def test_rejects_a_database_with_other_data_unless_add_is_given(self):
        make_balance()

        with pytest.raises(CommandError, match="contains other data"):
            seed("--transactions", 10)

        assert seed("--transactions", 10, "--add")["balances"] == 1

    def test_rejects_a_seed_that_the_database_contains(self):
        seed("--transactions", 10)

        with pytest.raises(CommandError, match="ledger of seed 1"):
            seed("--transactions", 10, "--add")

        assert seed("--transactions", 10, "--add", "--seed", 2)["balances"] == 1

    def test_does_not_run_in_production(self, settings):
        settings.PRODUCTION = True

        with pytest.raises(CommandError, match="production"):
            seed("--transactions", 10)

        assert not User.objects.exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestSeedLedgerWithSeveralProcesses:
    def test_writes_the_same_number_of_rows_as_one_process(self):
        parts = list(
            seeding.split_work(
                transactions=3 * seeding.PART_SIZE,
                balances=60,
                hot=0,
                seed=1,
                begin=NOON - timedelta(days=90),
                until=NOON,
            )
        )

        counts = list(seeding.seed(parts, processes=2))

        assert len(counts) == 3
        assert sum(part.transactions for part in counts) == CreditTransaction.objects.count() >= 3 * seeding.PART_SIZE
        assert CreditBalance.objects.count() == 60
        assert differences() == []
