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
    """Return what the command says it has written."""
    out = StringIO()
    words = ["--at", NOON.isoformat(), "--processes", "1", "--json", *map(str, arguments)]
    call_command("seed_ledger", *words, stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def differences():
    return [found for findings in verification.verify_all(chunk=50) for found in findings.differences]


def told():
    """Return every movement as a person would tell it, without the ids of the ledger's rows."""
    facts = ("balance", "sequence", "type", "amount", "timestamp", "description", "reference_id", "member")
    return list(CreditTransaction.objects.order_by("balance", "sequence").values_list(*facts))


@pytest.mark.django_db
class TestSeedLedger:
    def test_writes_a_valid_ledger_of_the_size_asked_for(self):
        written = seed("--transactions", 2000, "--balances", 40)

        assert 2000 <= written["transactions"] <= 2100
        assert written["transactions"] == CreditTransaction.objects.count()
        assert written["balances"] == CreditBalance.objects.count() == 40
        assert differences() == []

    def test_lets_everything_happen_that_happens_in_life(self):
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

    def test_gives_every_month_that_has_begun(self):
        seed("--transactions", 1000, "--balances", 20)

        assert Subscription.objects.count() == 20
        assert not Subscription.objects.filter(next_allocation_at__lte=NOON).exists()
        months = MonthlyAllocation.objects.aggregate(Sum("credits"))["credits__sum"]
        given = CreditTransaction.objects.filter(type="allocation").exclude(sequence=1).aggregate(Sum("amount"))
        assert months == given["amount__sum"]

    def test_tells_the_same_story_for_the_same_seed(self):
        stories = []
        for number in (5, 5, 6):
            with transaction.atomic():
                seed("--transactions", 400, "--seed", number)
                stories.append(told())
                transaction.set_rollback(True)

        first, again, other = stories
        assert first == again
        assert first != other

    def test_writes_one_long_history_in_parts(self, monkeypatch):
        monkeypatch.setattr(seeding, "PART", 300)

        written = seed("--transactions", 20, "--balances", 1, "--hot", 1000)

        owner = User.objects.get(email=written["hot"])
        assert 1000 <= owner.credit_balance.sequence <= 1010
        assert differences() == []

    def test_lies_between_its_first_month_and_the_instant_asked_for(self):
        seed("--transactions", 500, "--months", 2)

        instants = CreditTransaction.objects.values_list("timestamp", flat=True)
        assert min(instants) >= NOON - timedelta(days=60)
        assert max(instants) <= NOON

    def test_leaves_a_database_alone_that_holds_other_data(self):
        make_balance()

        with pytest.raises(CommandError, match="holds other data"):
            seed("--transactions", 10)

        assert seed("--transactions", 10, "--beside")["balances"] == 1

    def test_refuses_a_seed_that_is_there_already(self):
        seed("--transactions", 10)

        with pytest.raises(CommandError, match="seed 1 is in this database"):
            seed("--transactions", 10, "--beside")

        assert seed("--transactions", 10, "--beside", "--seed", 2)["balances"] == 1

    def test_never_runs_in_production(self, settings):
        settings.PRODUCTION = True

        with pytest.raises(CommandError, match="production"):
            seed("--transactions", 10)

        assert not User.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestSeedLedgerOnSeveralProcesses:
    def test_writes_what_one_process_would(self):
        parts = list(
            seeding.parts(
                transactions=3 * seeding.PART,
                balances=60,
                hot=0,
                seed=1,
                begin=NOON - timedelta(days=90),
                until=NOON,
            )
        )

        done = list(seeding.seed(parts, processes=2))

        assert len(done) == 3
        assert sum(part.transactions for part in done) == CreditTransaction.objects.count() >= 3 * seeding.PART
        assert CreditBalance.objects.count() == 60
        assert differences() == []
