import json
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from credits import operations, verification
from credits.models import CreditBalance, CreditTransaction
from fluxori.core import clock
from tests.support.factories.credits import hold, make_balance
from tests.support.times import DAY, HOUR, NOON

AT = (NOON + DAY).isoformat()


def expire(*arguments):
    """Return what the command answered in JSON."""
    out = StringIO()
    call_command("expire_credits", "--json", *arguments, stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


@pytest.mark.django_db
class TestExpireCredits:
    def test_stores_due_events_at_their_own_instants(self):
        balance = make_balance(grants=[(10, HOUR), (20, DAY), (30, None)])

        totals = expire("--at", AT)

        assert (totals["balances"], totals["transactions"], totals["credits"], totals["rejected"]) == (1, 2, 30, 0)
        expiries = balance.transactions.filter(type="expiry").order_by("sequence")
        assert [(t.amount, t.timestamp) for t in expiries] == [(-10, NOON + HOUR), (-20, NOON + DAY)]

    def test_processes_more_balances_than_one_chunk(self):
        balances = [make_balance(grants=[(10, HOUR)]) for _ in range(5)]

        totals = expire("--at", AT, "--chunk", "2")

        assert totals["balances"] == 5
        assert set(CreditBalance.objects.filter(pk__in=[b.pk for b in balances]).values_list("balance", flat=True)) == {
            0
        }

    def test_releases_the_credits_of_lapsed_holds(self):
        balance = make_balance()
        hold(balance, 40, expires_in=HOUR)

        assert expire("--at", AT)["balances"] == 1

        balance.refresh_from_db()
        assert balance.held == 0

    def test_second_run_stores_nothing(self):
        make_balance(grants=[(10, HOUR)])
        expire("--at", AT)

        assert expire("--at", AT)["balances"] == 0

    def test_dry_run_stores_nothing(self):
        balance = make_balance(grants=[(10, HOUR)])

        assert expire("--at", AT, "--dry-run")["credits"] == 10

        assert not balance.transactions.filter(type="expiry").exists()
        balance.refresh_from_db()
        assert (balance.balance, balance.version) == (10, 1)

    def test_prints_a_summary(self):
        make_balance(grants=[(1500, HOUR)])
        out = StringIO()

        call_command("expire_credits", "--at", AT, stdout=out)

        assert out.getvalue() == f"Due by {AT}: 1,500 credits expired, 1 balances, 1 transactions\n"

    @pytest.mark.parametrize("production", [True, False])
    def test_future_instant_requires_a_dry_run(self, settings, production):
        settings.PRODUCTION = production
        tomorrow = (clock.now() + DAY).isoformat()

        with pytest.raises(CommandError, match="in the future") as error:
            expire("--at", tomorrow)

        assert error.value.returncode == 1
        assert expire("--at", tomorrow, "--dry-run")["dryRun"]

    @pytest.mark.parametrize("at", ["yesterday", "2026-03-01", "2026-03-01T12:00:00", "2026-02-30T12:00:00Z"])
    def test_rejects_an_invalid_instant(self, at):
        with pytest.raises(CommandError, match="is not a time with an offset"):
            expire("--at", at)

    @pytest.mark.parametrize("chunk", ["0", "-1", "many"])
    def test_rejects_a_chunk_size_of_zero(self, chunk):
        with pytest.raises(CommandError, match="whole number"):
            expire("--chunk", chunk)


@pytest.mark.django_db(transaction=True)
class TestExpireCreditsConcurrently:
    def test_concurrent_runs_expire_each_credit_once(self):
        for _ in range(20):
            make_balance(grants=[(10, HOUR)])

        def run(_):
            try:
                return expire("--at", AT, "--chunk", "3")
            finally:
                connection.close()

        with ThreadPoolExecutor(max_workers=4) as pool:
            totals = list(pool.map(run, range(4)))

        assert sum(part["balances"] for part in totals) == 20
        assert CreditTransaction.objects.filter(type="expiry").count() == 20
        assert [d for part in verification.verify_all(chunk=7) for d in part.differences] == []

    def test_locked_balance_is_left_to_the_next_run(self):
        busy, *others = [make_balance(grants=[(10, HOUR)]) for _ in range(3)]
        refusals = StringIO()

        def run():
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SET lock_timeout = '50ms'")
                with pytest.raises(CommandError) as error:
                    call_command("expire_credits", "--at", AT, "--jobs", "1", stdout=StringIO(), stderr=refusals)
                return error
            finally:
                connection.close()

        with ThreadPoolExecutor(max_workers=1) as pool, transaction.atomic():
            CreditBalance.objects.select_for_update(no_key=True).get(pk=busy.pk)
            error = pool.submit(run).result()

        assert error.value.returncode == 2
        assert refusals.getvalue() == f"{busy.user}, balance {busy.pk}: busy\n"
        assert set(CreditTransaction.objects.filter(type="expiry").values_list("balance", flat=True)) == {
            other.pk for other in others
        }
        assert operations.expire_credits(balance_ids=[busy.pk], at=NOON + DAY)["credits"] == 10
