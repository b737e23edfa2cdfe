import json
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from credits.models import VerificationRun
from tests.support.factories.credits import deduct, make_balance
from tests.support.falsification import falsify_without_triggers


def verify(*arguments):
    """Run the command and return its output."""
    out = StringIO()
    call_command("verify_ledger", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def falsify(result):
    falsify_without_triggers(
        "UPDATE credits_credittransaction SET description = 'Other' WHERE id = %(id)s", id=result.transaction.id
    )


@pytest.mark.django_db
class TestVerifyLedger:
    def test_prints_how_much_it_read_and_that_there_is_no_difference(self):
        for _ in range(3):
            deduct(make_balance(), 5)

        assert verify("--chunk", "2").startswith("3 balances, 6 transactions in ")
        assert verify().endswith("no difference\n")

    def test_records_a_run_over_all_balances(self):
        result = deduct(make_balance(), 5)
        verify()
        falsify(result)
        with pytest.raises(CommandError):
            verify()
        verify("--balance", str(make_balance().pk))

        runs = VerificationRun.objects.order_by("started_at").values_list("balances", "transactions", "differences")
        assert [(balances, transactions, found > 0) for balances, transactions, found in runs] == [
            (1, 2, False),
            (1, 2, True),
        ]

    @pytest.mark.parametrize(
        "restriction",
        [
            "SET LOCAL transaction_read_only = on",
            "CREATE ROLE reader; GRANT pg_read_all_data TO reader; SET LOCAL ROLE reader",
        ],
    )
    def test_works_without_a_record_where_it_may_only_read(self, restriction):
        make_balance()
        with connection.cursor() as cursor:
            cursor.execute(restriction)

        assert verify().endswith("no difference\n")

    def test_accepts_an_empty_ledger(self):
        assert verify().startswith("0 balances, 0 transactions")

    def test_prints_the_row_of_a_difference_and_exits_with_1(self, capsys):
        balance = make_balance()
        spent = deduct(balance, 5)
        falsify(spent)

        with pytest.raises(CommandError, match="1 differences found") as error:
            call_command("verify_ledger")

        assert error.value.returncode == 1
        assert (
            f"hash_matches_row: transaction {spent.transaction.id} of balance {balance.pk} ({balance.user}): "
            in capsys.readouterr().out
        )

    def test_reads_only_the_balance_that_is_given(self):
        falsify(deduct(make_balance(), 5))
        correct = make_balance()

        assert verify("--balance", str(correct.pk)).startswith("1 balances, 1 transactions")

    def test_rejects_a_balance_that_does_not_exist(self):
        with pytest.raises(CommandError, match="There is no balance"):
            verify("--balance", str(uuid4()))

    def test_prints_json(self):
        balance = make_balance()
        falsify(deduct(balance, 5))
        out = StringIO()

        with pytest.raises(CommandError):
            call_command("verify_ledger", "--json", stdout=out)

        report = json.loads(out.getvalue())
        assert (report["balances"], report["transactions"]) == (1, 2)
        [difference] = report["differences"]
        assert (difference["rule"], difference["row"]) == ("hash_matches_row", "transaction")
        assert (difference["balanceId"], difference["account"]) == (str(balance.pk), str(balance.user))
        assert report["runId"] == str(VerificationRun.objects.get().pk)
