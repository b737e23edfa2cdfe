import json
from hashlib import sha256
from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction

from credits import operations
from credits.models import CreditBalance, LedgerIdentity
from credits.verification import anchors
from fluxori.core import clock
from tests.support.database import as_owner
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.falsification import falsify_without_triggers
from tests.support.times import MINUTE, NOON


@pytest.fixture
def file(tmp_path):
    return tmp_path / "anchor.ndjson"


def anchor(file, *arguments):
    """Run ``anchor_ledger`` and return its output."""
    out = StringIO()
    call_command("anchor_ledger", str(file), *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def verify(file, *arguments):
    """Run ``verify_ledger --anchor`` and return its output."""
    out = StringIO()
    call_command("verify_ledger", "--anchor", str(file), *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def differences(file, *arguments):
    """Return (rule, balance, details) of each difference that ``verify_ledger --anchor`` reports."""
    out = StringIO()
    with pytest.raises(CommandError) as error:
        call_command("verify_ledger", "--anchor", str(file), "--json", *arguments, stdout=out, stderr=StringIO())
    assert error.value.returncode == 1
    found = json.loads(out.getvalue())["differences"]
    return [(each["rule"], UUID(each["balanceId"]), each["details"]) for each in found]


def rejection(command, *arguments):
    """Return the message of a command that fails with status 1, and check that it printed nothing else."""
    out = StringIO()
    with pytest.raises(CommandError) as error:
        call_command(command, *map(str, arguments), stdout=out, stderr=StringIO())
    assert error.value.returncode == 1
    assert out.getvalue() == ""
    assert "\n" not in str(error.value)
    return str(error.value)


def rewrite_history(balance):
    """Change the first transaction and compute every hash again: consistent, but not what happened."""
    table = "credits_credittransaction"
    statements = [f"UPDATE {table} SET description = 'Another history' WHERE balance_id = %(id)s AND sequence = 1"]
    for sequence in range(1, balance.sequence + 1):
        row = f"t.balance_id = %(id)s AND t.sequence = {sequence}"
        statements += [
            f"UPDATE {table} t SET previous_hash = p.hash FROM {table} p"
            f" WHERE {row} AND p.balance_id = t.balance_id AND p.sequence = {sequence - 1}",
            f"UPDATE {table} t SET hash = credits_transaction_hash(t) WHERE {row}",
        ]
    statements.append(
        f"UPDATE credits_creditbalance b SET head_hash = t.hash FROM {table} t"
        " WHERE b.id = %(id)s AND t.balance_id = b.id AND t.sequence = b.sequence"
    )
    falsify_without_triggers("; ".join(statements), id=balance.pk)


@pytest.mark.django_db
class TestAnchorLedger:
    def test_writes_one_line_per_balance_in_order_of_id_and_a_closing_line(self, file):
        balances = [make_balance() for _ in range(3)]
        deduct(balances[1], 5)

        anchor(file)

        *heads, closing = map(json.loads, file.read_text().splitlines())
        stored = CreditBalance.objects.order_by("pk")
        assert heads == [
            {"balanceId": str(each.pk), "sequence": each.sequence, "headHash": bytes(each.head_hash).hex()}
            for each in stored
        ]
        assert closing["ledgerId"] == str(LedgerIdentity.objects.get().pk)
        assert (closing["version"], closing["balances"], closing["transactions"]) == (1, 3, 4)

    def test_digest_is_the_sha256_of_all_bytes_before_it(self, file):
        make_balance()

        anchor(file)

        written = file.read_bytes()
        before, _, rest = written.rpartition(b',"digest":"')
        assert rest == sha256(before).hexdigest().encode() + b'"}\n'

    def test_reads_balances_in_pages(self, file, monkeypatch):
        monkeypatch.setattr(anchors, "_PAGE", 2)
        for _ in range(5):
            make_balance()

        assert anchor(file).startswith("5 balances, 5 transactions of ledger ")
        assert "5 balances of the anchor of " in verify(file)

    def test_accepts_an_empty_ledger(self, file):
        assert anchor(file).startswith("0 balances, 0 transactions")
        assert verify(file).endswith("no difference\n")

    def test_prints_json(self, file):
        make_balance()

        report = json.loads(anchor(file, "--json"))

        closing = json.loads(file.read_text().splitlines()[-1])
        assert report.keys() - closing.keys() == {"runId", "seconds"}
        assert closing == {"version": 1, **{name: report[name] for name in closing.keys() & report.keys()}}

    def test_keeps_an_existing_file(self, file):
        file.write_text("An older anchor")

        assert rejection("anchor_ledger", file) == f"{file} exists already; an anchor is never overwritten."
        assert file.read_text() == "An older anchor"

    def test_rejects_a_folder_that_does_not_exist(self, file):
        assert "cannot be written: No such file" in rejection("anchor_ledger", file.parent / "none" / "anchor")

    def test_leaves_no_file_if_a_balance_does_not_end_with_its_last_transaction(self, file):
        balance = make_balance()
        falsify_without_triggers(
            "UPDATE credits_creditbalance SET head_hash = sha256('x') WHERE id = %(id)s", id=balance.pk
        )

        assert f"Balance {balance.pk} ({balance.user}) does not end with its last transaction" in rejection(
            "anchor_ledger", file
        )
        assert list(file.parent.iterdir()) == []


@pytest.mark.django_db
class TestVerifyLedgerWithAnchor:
    def test_accepts_transactions_and_balances_since_the_anchor(self, file):
        balance = make_balance()
        anchor(file)
        deduct(balance, 5)
        make_balance()

        output = verify(file)

        assert output.startswith("2 balances, 3 transactions, 1 balances of the anchor of ")
        assert output.endswith("no difference\n")

    def test_accepts_a_balance_that_had_no_transaction(self, file):
        user = make_user()
        CreditBalance.objects.create(id=user.pk, user=user, last_at=NOON, created_at=NOON)
        anchor(file)
        operations.add_credits(owner=user, amount=10, type="purchase", at=NOON)

        assert verify(file).endswith("no difference\n")

    def test_reports_a_rewritten_history_although_it_is_consistent(self, file):
        balance, other = make_balance(), make_balance()
        deduct(balance, 5)
        balance.refresh_from_db()
        anchor(file)
        deduct(other, 5)
        rewrite_history(balance)
        call_command("verify_ledger", stdout=StringIO(), stderr=StringIO())

        [(rule, reported, details)] = differences(file)

        assert (rule, reported) == ("anchored_history_unchanged", balance.pk)
        assert details.startswith("sequence 2 has hash ")

    def test_reports_a_rewritten_history_to_which_transactions_were_added(self, file):
        balance = make_balance()
        anchor(file)
        deduct(balance, 5)
        balance.refresh_from_db()
        rewrite_history(balance)

        assert [each[:2] for each in differences(file)] == [("anchored_history_unchanged", balance.pk)]

    def test_reports_a_changed_row_that_keeps_its_hash(self, file):
        balance = make_balance()
        anchor(file)
        falsify_without_triggers(
            "UPDATE credits_credittransaction SET description = 'Other' WHERE balance_id = %(id)s", id=balance.pk
        )

        assert [each[:2] for each in differences(file)] == [("hash_matches_row", balance.pk)]

    def test_reports_missing_transactions_of_an_older_backup(self, file):
        balance = make_balance()
        balance.refresh_from_db()
        older = CreditBalance.objects.get(pk=balance.pk)
        spent = deduct(balance, 5)
        anchor(file)
        falsify_without_triggers(
            "DELETE FROM credits_creditentry WHERE transaction_id = %(spent)s;"
            " DELETE FROM credits_credittransaction WHERE id = %(spent)s;"
            " UPDATE credits_creditgrant SET remaining = 100 WHERE balance_id = %(id)s;"
            " UPDATE credits_creditbalance SET balance = 100, sequence = 1, head_hash = %(head)s WHERE id = %(id)s",
            id=balance.pk,
            spent=spent.transaction.id,
            head=bytes(older.head_hash),
        )
        call_command("verify_ledger", stdout=StringIO(), stderr=StringIO())

        assert differences(file) == [
            ("anchored_history_unchanged", balance.pk, "sequence 2 is missing, the last transaction has sequence 1")
        ]

    def test_reports_a_missing_balance(self, file):
        balance = make_balance()
        anchor(file)
        falsify_without_triggers(
            "DELETE FROM credits_creditgrant WHERE balance_id = %(id)s;"
            " DELETE FROM credits_creditentry WHERE balance_id = %(id)s;"
            " DELETE FROM credits_credittransaction WHERE balance_id = %(id)s;"
            " DELETE FROM credits_creditbalance WHERE id = %(id)s",
            id=balance.pk,
        )

        expected = [("anchored_history_unchanged", balance.pk, "the balance is missing, anchored with sequence 1")]
        assert differences(file) == expected
        assert differences(file, "--balance", str(balance.pk)) == expected

    def test_compares_only_the_balance_that_is_given(self, file):
        balance, other = make_balance(), make_balance()
        anchor(file)
        rewrite_history(balance)

        assert "1 balances of the anchor" in verify(file, "--balance", str(other.pk))
        assert [each[1] for each in differences(file, "--balance", str(balance.pk))] == [balance.pk]

    def test_compares_nothing_of_a_balance_created_since(self, file):
        anchor(file)

        assert ", 0 balances of the anchor of " in verify(file, "--balance", str(make_balance().pk))

    def test_prints_json(self, file):
        make_balance()
        written = json.loads(anchor(file, "--json"))

        report = json.loads(verify(file, "--json"))

        assert report["differences"] == []
        assert report["anchor"] == {
            "ledgerId": written["ledgerId"],
            "anchoredAt": written["anchoredAt"],
            "balances": 1,
            "digest": written["digest"],
        }


@pytest.mark.django_db
class TestRejectedAnchors:
    @pytest.fixture
    def lines(self, file):
        """Write an anchor of two balances and return its lines."""
        for _ in range(2):
            make_balance()
        anchor(file)
        return file.read_bytes().splitlines(keepends=True)

    def rejection(self, file):
        return rejection("verify_ledger", "--anchor", file)

    def test_another_database(self, file, lines):
        other = uuid4()
        falsify_without_triggers("UPDATE credits_ledgeridentity SET id = %(other)s", other=other)

        assert f"this database is {other}" in self.rejection(file)

    def test_any_digit_that_was_altered(self, file, lines):
        whole = b"".join(lines)
        digits = [place for place, byte in enumerate(whole) if chr(byte).isdigit()]
        for place in digits:
            altered = bytes([ord("0") + (whole[place] - ord("0") + 1) % 10])
            file.write_bytes(whole[:place] + altered + whole[place + 1 :])

            assert f"{file} was changed: its digest is " in self.rejection(file)

    def test_a_line_that_is_missing(self, file, lines):
        file.write_bytes(b"".join(lines[1:]))

        assert "was changed: its digest is " in self.rejection(file)

    def test_a_line_that_follows_the_closing_line(self, file, lines):
        file.write_bytes(b"".join([*lines, lines[0]]))

        assert "was changed: line 4 follows the closing line" in self.rejection(file)

    def test_a_line_of_another_form(self, file, lines):
        file.write_bytes(b"".join([lines[0], b"{}\n", *lines[1:]]))

        assert "line 2 has another form" in self.rejection(file)

    def test_a_file_that_was_cut_off_anywhere(self, file, lines):
        whole = b"".join(lines)
        for length in [*range(0, len(whole), 7), len(whole) - 1]:
            file.write_bytes(whole[:length])

            assert self.rejection(file) == f"{file} was cut off: its closing line is missing."

    def test_a_file_that_is_no_anchor(self, file):
        file.write_bytes(b"\x00" * 100_000)

        assert "line 1 has another form" in self.rejection(file)

    def test_a_file_that_does_not_exist(self, file):
        assert self.rejection(file) == f"{file} is not a file."

    def test_the_future(self, file, lines, clock_at):
        written = anchors.read_anchor(file, at=clock.now())

        clock_at(written.anchored_at - 6 * MINUTE)

        assert self.rejection(file) == f"{file} is dated {written.anchored_at.isoformat()}, in the future."

    def test_a_clock_that_is_a_little_slow_is_accepted(self, file, lines, clock_at):
        written = anchors.read_anchor(file, at=clock.now())
        clock_at(written.anchored_at - 4 * MINUTE)

        assert verify(file).endswith("no difference\n")


@pytest.mark.django_db
class TestLedgerIdentity:
    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE credits_ledgeridentity SET id = gen_random_uuid()",
            "DELETE FROM credits_ledgeridentity",
            "INSERT INTO credits_ledgeridentity (id, single) VALUES (gen_random_uuid(), true)",
            "TRUNCATE credits_ledgeridentity",
        ],
    )
    def test_never_changes(self, change):
        with as_owner(), pytest.raises(ProgrammingError, match="Cannot"), transaction.atomic():
            connection.cursor().execute(change)
