import json
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction

from credits import operations
from credits.models import BalanceRepair, CreditRollup, CreditTotal, UsageWatermark
from credits.verification import verify_balance, verify_global
from tests.support.database import as_owner
from tests.support.factories.credits import capture, deduct, hold, make_balance
from tests.support.falsification import falsify_without_triggers
from tests.support.ledger import table_digests
from tests.support.threads import in_other_thread, lock_waits, locked_in_other_thread, wait_until
from tests.support.times import DAY, MINUTE, NOON

LATER = NOON + MINUTE
APPLY = ("--apply", "--reason", "Restored from a faulty copy")


@pytest.fixture
def balance(db):
    """Return a balance with grants, an open and a captured hold, a limit in use, a transaction and roll-ups."""
    balance = make_balance(grants=[(100, None), (20, DAY)])
    operations.set_limit(owner=balance.owner, amount=500, period="day", at=NOON)
    deduct(balance, 30, at=LATER)
    capture(hold(balance, 30, at=LATER), 25, at=LATER)
    hold(balance, 15, at=LATER)
    operations.aggregate_usage(balance_ids=[balance.pk], most=9)
    deduct(balance, 5, at=LATER)
    balance.refresh_from_db()
    assert (balance.balance, balance.held) == (60, 15)
    return balance


@pytest.fixture(autouse=True)
def _as_owner(db):
    with as_owner():
        yield


def rebuild(balance, *arguments):
    """Run the command and return its output as JSON."""
    out = StringIO()
    call_command("rebuild_balance", str(balance.pk), "--json", *arguments, stdout=out)
    return json.loads(out.getvalue())


def rebuild_as_text(balance, *arguments):
    out = StringIO()
    call_command("rebuild_balance", str(balance.pk), *arguments, stdout=out)
    return out.getvalue()


def rejection(balance_id, *arguments):
    """Return the exit status, the message and the output of a command that fails."""
    out = StringIO()
    with pytest.raises(CommandError) as error:
        call_command("rebuild_balance", str(balance_id), *arguments, stdout=out)
    return error.value.returncode, str(error.value), out.getvalue()


def falsify(balance, sql):
    falsify_without_triggers(sql, id=balance.pk)
    assert verify_balance(balance.pk).differences


BALANCE = "UPDATE credits_creditbalance SET {} WHERE id = %(id)s"
GRANTS = "UPDATE credits_creditgrant SET {} WHERE balance_id = %(id)s AND expires_at IS NULL"
LIMIT = "UPDATE credits_spendinglimit SET {} WHERE balance_id = %(id)s"
ROLLUP = "UPDATE credits_creditrollup SET {} WHERE balance_id = %(id)s AND type = 'usage'"
# The change of a row, and the columns that the repair changes, with their values before and after.
FALSIFICATIONS = [
    (BALANCE.format("balance = 999"), [("balance", "balance", 999, 60)]),
    (BALANCE.format("held = 14"), [("balance", "held", 14, 15)]),
    (BALANCE.format("debt = 1, balance = 14"), [("balance", "balance", 14, 60), ("balance", "debt", 1, 0)]),
    (BALANCE.format("sequence = sequence + 3"), [("balance", "sequence", 8, 5)]),
    (BALANCE.format("sequence = 2"), [("balance", "sequence", 2, 5)]),
    (
        BALANCE.format("last_at = last_at - interval '1 hour'"),
        [("balance", "last_at", "2025-03-03T11:01:00+00:00", "2025-03-03T12:01:00+00:00")],
    ),
    (GRANTS.format("remaining = 50"), [("grant", "remaining", 50, 45)]),
    (GRANTS.format("remaining = 60, held = 0"), [("grant", "remaining", 60, 45), ("grant", "held", 0, 15)]),
    (
        GRANTS.format("remaining = 0, held = 0, live = false"),
        [("grant", "remaining", 0, 45), ("grant", "held", 0, 15), ("grant", "live", False, True)],
    ),
    (LIMIT.format("used = 0"), [("limit", "used", 0, 75)]),
    (ROLLUP.format("credits_out = credits_out + 1"), [("watermark", "sequence", 4, 0)]),
    ("UPDATE credits_usagewatermark SET sequence = 9 WHERE balance_id = %(id)s", [("watermark", "sequence", 9, 0)]),
]


class TestRebuildBalance:
    @pytest.mark.parametrize(("change", "expected"), FALSIFICATIONS)
    def test_repairs_what_history_determines(self, balance, change, expected):
        falsify(balance, change)

        report = rebuild(balance, *APPLY)

        assert report["applied"]
        assert report["damage"] == []
        assert [(c["row"], c["column"], c["before"], c["after"]) for c in report["changes"]] == expected
        assert verify_balance(balance.pk).differences == ()
        assert verify_global().differences == ()

    def test_repairs_a_head_hash(self, balance):
        head = bytes(balance.head_hash)
        falsify(balance, BALANCE.format("head_hash = sha256('x')"))

        [change] = rebuild(balance, *APPLY)["changes"]

        assert change["after"] == head.hex()
        balance.refresh_from_db()
        assert bytes(balance.head_hash) == head

    def test_repairs_several_rows_at_once_and_the_balance_can_be_used(self, balance):
        falsify(
            balance, "; ".join([BALANCE.format("balance = 999, held = 0"), GRANTS.format("remaining = 100, held = 0")])
        )

        assert len(rebuild(balance, *APPLY)["changes"]) == 4

        assert deduct(balance, 45, at=LATER).balance.available == 0
        assert verify_balance(balance.pk).differences == ()

    def test_rebuilds_the_rollups_with_the_next_aggregation(self, balance):
        other = make_balance()
        operations.aggregate_usage(balance_ids=[other.pk], most=9)
        before = set(CreditTotal.objects.values_list("day", "type", "credits_in", "credits_out"))
        falsify(balance, ROLLUP.format("credits_out = credits_out + 1"))

        rebuild(balance, *APPLY)

        assert not CreditRollup.objects.filter(balance=balance).exists()
        assert UsageWatermark.objects.get(pk=balance.pk).sequence == 0
        operations.aggregate_usage(balance_ids=[balance.pk], most=4)
        assert set(CreditTotal.objects.values_list("day", "type", "credits_in", "credits_out")) == before
        assert verify_global().differences == ()

    def test_records_the_reason_and_the_values_before_and_after(self, balance, clock_at):
        falsify(balance, BALANCE.format("held = 14"))
        clock_at(NOON + DAY)

        rebuild(balance, *APPLY)

        repair = BalanceRepair.objects.get()
        assert (repair.balance_id, repair.reason, repair.at) == (balance.pk, APPLY[-1], NOON + DAY)
        row = {"row": "balance", "id": str(balance.pk), "column": "held"}
        assert repair.before == [{**row, "value": 14}]
        assert repair.after == [{**row, "value": 15}]

    def test_shows_what_differs_and_writes_nothing_without_apply(self, balance):
        falsify(balance, BALANCE.format("balance = 999"))
        before = table_digests()

        output = rebuild_as_text(balance)

        assert f"balance {balance.pk}: balance 999, history has 60" in output
        assert '1 values differ; --apply --reason "..." repairs them' in output
        assert not rebuild(balance)["applied"]
        assert table_digests() == before

    def test_nothing_to_repair(self, balance):
        before = table_digests()

        assert rebuild_as_text(balance, *APPLY) == f"Balance {balance.pk}: nothing to repair\n"
        assert table_digests() == before

    def test_repeats_without_effect(self, balance):
        falsify(balance, BALANCE.format("balance = 999"))
        assert "1 values repaired" in rebuild_as_text(balance, *APPLY)

        assert "nothing to repair" in rebuild_as_text(balance, *APPLY)

        assert BalanceRepair.objects.count() == 1

    def test_triggers_are_enabled_again(self, balance):
        falsify(balance, BALANCE.format("balance = 999"))
        with transaction.atomic():
            rebuild(balance, *APPLY)

            with pytest.raises(ProgrammingError, match="Cannot update"), transaction.atomic():
                connection.cursor().execute("UPDATE credits_creditbalance SET balance = 1, version = version + 1")
        with pytest.raises(ProgrammingError, match="Cannot insert"), transaction.atomic():
            BalanceRepair.objects.create(balance=balance, reason="Mine", before=[], after=[], at=NOON)


class TestRefusals:
    def test_unknown_balance(self):
        unknown = uuid4()

        assert rejection(unknown, *APPLY) == (1, f"There is no balance {unknown}.", "")

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
    def test_apply_without_a_valid_reason(self, balance, reason):
        falsify(balance, BALANCE.format("balance = 999"))

        status, message, output = rejection(balance.pk, "--apply", "--reason", reason)

        assert (status, output) == (1, "")
        assert message.startswith("--reason: ")

    @pytest.mark.parametrize(
        "damage",
        [
            "UPDATE credits_credittransaction SET amount = amount - 1 WHERE balance_id = %(id)s AND sequence = 3",
            "UPDATE credits_credittransaction SET description = 'Other' WHERE balance_id = %(id)s AND sequence = 3",
            "DELETE FROM credits_credittransaction WHERE balance_id = %(id)s AND sequence = 3",
            # The entries of the grant add up to less than nothing, which a constraint rejects.
            "UPDATE credits_creditentry SET amount = -500 WHERE balance_id = %(id)s AND amount = -5",
            "UPDATE credits_credithold SET captured = 24 WHERE balance_id = %(id)s AND status = 'captured'",
        ],
    )
    def test_damaged_history_even_if_rows_differ_that_could_be_repaired(self, balance, damage):
        falsify(balance, damage)
        falsify(balance, BALANCE.format("held = 14"))
        before = table_digests()

        status, message, output = rejection(balance.pk, *APPLY)

        assert status == 1
        assert "is damaged, so nothing was written: compare it with an anchor (verify_ledger --anchor)" in message
        assert f" of balance {balance.pk}" not in output
        assert output
        assert table_digests() == before

    def test_damaged_history_without_apply(self, balance):
        falsify(balance, "UPDATE credits_credittransaction SET amount = -9 WHERE balance_id = %(id)s AND sequence = 3")

        assert rejection(balance.pk)[0] == 1

    def test_a_role_that_does_not_own_the_tables(self, balance):
        falsify(balance, BALANCE.format("balance = 999"))
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE clerk")
        call_command("grant_privileges", "clerk", stdout=StringIO())
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL ROLE clerk")

        assert "history has 60" in rebuild_as_text(balance)
        status, message, output = rejection(balance.pk, *APPLY)

        assert (status, output) == (1, "")
        assert message.startswith("Only the owner of the tables may repair a balance")


@pytest.mark.django_db(transaction=True)
class TestContention:
    def test_reports_a_balance_that_is_locked(self):
        balance = make_balance()
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        try:
            with locked_in_other_thread(balance):
                assert rejection(balance.pk) == (
                    2,
                    f"The balance {balance.pk} ({balance.user}) is locked; try again.",
                    "",
                )
        finally:
            connection.close()

    def test_a_concurrent_deduction_waits_and_neither_is_lost(self):
        balance = make_balance()
        with transaction.atomic():
            falsify(balance, BALANCE.format("balance = 999"))
        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                operations.rebuild_balance(balance_id=balance.pk, apply=True, reason="Wrong")
                spending = pool.submit(in_other_thread, lambda: deduct(balance, 5))
                wait_until(lambda: lock_waits() == 1)
            result = spending.result()

        assert result.balance.balance == 95
        assert verify_balance(balance.pk).differences == ()

    def test_a_repair_waits_for_a_deduction_and_counts_it(self):
        balance = make_balance()
        operations.set_limit(owner=balance.owner, amount=50, period="day", at=NOON)
        with transaction.atomic():
            falsify(balance, LIMIT.format("used = 3"))

        def repair():
            with as_owner():
                return operations.rebuild_balance(balance_id=balance.pk, apply=True, reason="Wrong")

        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                deduct(balance, 5)
                repairing = pool.submit(in_other_thread, repair)
                wait_until(lambda: lock_waits() == 1)
            [change] = repairing.result().changes

        assert (change.column, change.before, change.after) == ("used", 8, 5)
        assert verify_balance(balance.pk).differences == ()
