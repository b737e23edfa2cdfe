import json
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from credits import verification
from credits.models import AggregationRun, CreditRollup, UsageWatermark
from credits.queries import usage
from tests.support.factories.credits import deduct, make_balance
from tests.support.times import NOON


def fold(*arguments):
    """Return what the command answered in JSON."""
    out = StringIO()
    call_command("aggregate_usage", "--json", *arguments, stdout=out, stderr=StringIO())
    report = json.loads(out.getvalue())
    assert report.pop("seconds") >= 0
    assert UUID(report.pop("runId"))
    return report


def sound():
    assert [d for part in verification.verify_all(chunk=3) for d in part.differences] == []


@pytest.mark.django_db
class TestAggregateUsage:
    @pytest.mark.parametrize("chunk", ["1", "2", "5", "20000"])
    def test_aggregates_every_balance_for_any_chunk_size(self, chunk):
        for _ in range(3):
            deduct(make_balance(grants=[(10, None)] * 2), 5)

        assert fold("--chunk", chunk) == {"balances": 3, "transactions": 9, "busy": 0}

        assert set(UsageWatermark.objects.values_list("sequence", flat=True)) == {3}
        sound()

    def test_second_run_aggregates_nothing(self):
        make_balance()
        fold()

        assert fold() == {"balances": 0, "transactions": 0, "busy": 0}

    def test_processes_more_balances_than_one_page(self, monkeypatch):
        monkeypatch.setattr("credits.management.commands.aggregate_usage._PAGE", 2)
        for _ in range(5):
            make_balance()

        assert fold()["balances"] == 5

    def test_totals_are_current_as_of_the_start_of_the_run(self, noon):
        make_balance()

        fold()

        assert usage.totals(from_=NOON.date(), to=NOON.date()).as_of == NOON

    def test_prints_a_summary(self):
        deduct(make_balance(), 5)
        out = StringIO()

        call_command("aggregate_usage", stdout=out)

        assert out.getvalue() == "2 transactions of 1 balances aggregated\n"

    @pytest.mark.parametrize("chunk", ["0", "-1", "many"])
    def test_rejects_a_chunk_size_of_zero(self, chunk):
        with pytest.raises(CommandError, match="whole number"):
            fold("--chunk", chunk)


@pytest.mark.django_db(transaction=True)
class TestAggregateUsageConcurrently:
    def test_concurrent_runs_count_each_transaction_once(self):
        for _ in range(20):
            deduct(make_balance(), 5)

        def run(_):
            try:
                return fold("--chunk", "7")
            finally:
                connection.close()

        with ThreadPoolExecutor(max_workers=4) as pool:
            totals = list(pool.map(run, range(4)))

        assert sum(part["transactions"] for part in totals) == 40
        assert usage.unaggregated_balances(after=None, limit=1) == []
        sound()

    def test_locked_balances_are_left_to_the_next_run(self):
        busy = make_balance()
        fold()
        deduct(busy, 5)

        def run():
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SET lock_timeout = '50ms'")
                with pytest.raises(CommandError, match="1 balances were busy") as error:
                    fold()
                return error
            finally:
                connection.close()

        with ThreadPoolExecutor(max_workers=1) as pool, transaction.atomic():
            UsageWatermark.objects.select_for_update().get(pk=busy.pk)
            error = pool.submit(run).result()

        assert error.value.returncode == 2
        assert list(AggregationRun.objects.values_list("busy", flat=True)) == [1, 0]
        assert not CreditRollup.objects.filter(type="usage").exists()
        assert fold() == {"balances": 1, "transactions": 1, "busy": 0}
