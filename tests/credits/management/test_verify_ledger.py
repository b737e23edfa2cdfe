import json
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from tests.support.factories.credits import deduct, make_balance


def verify(*arguments):
    """Return what the command wrote on stdout."""
    out = StringIO()
    call_command("verify_ledger", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def falsify(transaction):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE credits_credittransaction SET description = 'Other' WHERE id = %s", [transaction.pk])


@pytest.mark.django_db
class TestVerifyLedger:
    def test_says_that_all_is_well_and_how_much_was_read(self):
        for _ in range(3):
            deduct(make_balance(), 5)

        assert verify("--chunk", "2").startswith("3 balances, 6 transactions in ")
        assert verify().endswith("no difference\n")

    def test_says_so_of_an_empty_ledger(self):
        assert verify().startswith("0 balances, 0 transactions")

    def test_names_the_row_and_exits_with_1(self, capsys):
        balance = make_balance()
        spent = deduct(balance, 5)
        falsify(spent)

        with pytest.raises(CommandError, match="1 differences found") as fault:
            call_command("verify_ledger")

        assert fault.value.returncode == 1
        assert f"hash_is_true: transaction {spent.pk} of balance {balance.pk}: " in capsys.readouterr().out

    def test_reads_one_balance_where_one_is_named(self):
        falsify(deduct(make_balance(), 5))
        sound = make_balance()

        assert verify("--balance", str(sound.pk)).startswith("1 balances, 1 transactions")

    def test_refuses_a_balance_that_nobody_opened(self):
        with pytest.raises(CommandError, match="Nobody opened"):
            verify("--balance", str(uuid4()))

    def test_answers_in_json(self):
        balance = make_balance()
        falsify(deduct(balance, 5))
        out = StringIO()

        with pytest.raises(CommandError):
            call_command("verify_ledger", "--json", stdout=out)

        answer = json.loads(out.getvalue())
        assert (answer["balances"], answer["transactions"]) == (1, 2)
        [difference] = answer["differences"]
        assert (difference["rule"], difference["row"]) == ("hash_is_true", "transaction")
        assert difference["balanceId"] == str(balance.pk)
