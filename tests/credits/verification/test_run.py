import re
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection

from credits import verification
from credits.models import CreditTotal
from credits.verification import run
from tests.support.factories.credits import deduct, make_balance
from tests.support.falsification import falsify


@pytest.mark.django_db
class TestVerifyBalance:
    def test_counts_balances_and_transactions(self, ledger):
        findings = verification.verify_balance(ledger.balance)

        assert (findings.balances, findings.transactions) == (1, 9)


@pytest.mark.django_db
class TestVerifyAll:
    def test_reads_every_balance_once_for_any_chunk_size(self, ledger):
        for chunk in (1, 2, 3, 100):
            findings = list(verification.verify_all(chunk=chunk))

            assert sum(part.balances for part in findings) == 3
            assert sum(part.transactions for part in findings) == 15

    def test_reports_rows_of_a_balance_that_does_not_exist(self, ledger):
        falsify(ledger, "DELETE FROM credits_creditbalance WHERE id = %(debtor)s")

        [*differences] = [difference for part in verification.verify_all(chunk=1) for difference in part.differences]

        assert {difference.rule for difference in differences} == {"references_exist_in_balance"}
        assert {difference.balance_id for difference in differences} == {ledger.debtor}

    def test_every_global_rule_is_tested_below(self):
        assert [re.findall(r"^SELECT '(\w+)'", sql, re.MULTILINE) for sql in run.GLOBAL_RULES] == [
            ["totals_match_rollups"]
        ]

    @pytest.mark.parametrize(
        "change",
        [
            "credits_out = credits_out + 1",
            "credits_in = credits_in + 1",
            "count = 9",
            "value = 0",
            "unpriced = 1",
            "day = day + 1",
            "type = 'void'",
        ],
    )
    def test_reports_a_total_that_differs_from_the_rollups(self, ledger, change):
        falsify(ledger, f"UPDATE credits_credittotal SET {change} WHERE type = 'usage'")
        total = CreditTotal.objects.exclude(type="promotion").get().pk

        [*differences] = [difference for part in verification.verify_all(chunk=9) for difference in part.differences]

        assert {(difference.rule, difference.balance_id) for difference in differences} == {
            ("totals_match_rollups", None)
        }
        assert total in {difference.row_id for difference in differences}
        assert all(difference.details for difference in differences)

    def test_reports_a_missing_total(self, ledger):
        falsify(ledger, "DELETE FROM credits_credittotal WHERE type = 'usage'")

        [difference] = verification.verify_global().differences

        assert difference.details.endswith(
            "nothing; the roll-ups have 0 credits in, 5 credits out, 1 counted, value -0.500000, unpriced 0"
        )


@pytest.mark.django_db(transaction=True)
class TestJobs:
    def test_verify_the_same_ranges_in_the_same_order_on_their_own_connections(self, monkeypatch):
        for amount in range(1, 5):
            deduct(make_balance(), amount)
        alone, threads = list(verification.verify_all(chunk=1)), set()
        verify_range = run.verify_range

        def verify_in_thread(first, last):
            threads.add(get_ident())
            return verify_range(first, last)

        monkeypatch.setattr(run, "verify_range", verify_in_thread)

        assert list(verification.verify_all(chunk=1, jobs=2)) == alone
        assert sum(part.balances for part in alone) == 4
        assert get_ident() not in threads

    def test_report_the_error_of_a_range(self, monkeypatch):
        monkeypatch.setattr(run, "RULES", ["SELECT 1 / 0"])

        with pytest.raises(DatabaseError, match="division by zero"):
            list(verification.verify_all(chunk=1, jobs=2))


@pytest.mark.django_db(transaction=True)
class TestVerifyDuringOperations:
    def test_reports_nothing_false_during_concurrent_deductions(self):
        balance = make_balance(grants=[(100_000, None)])

        def spend():
            for _ in range(40):
                deduct(balance, 1)
            connection.close()

        with ThreadPoolExecutor(max_workers=1) as pool:
            deductions = pool.submit(spend)
            checks = 0
            while not deductions.done():
                assert verification.verify_balance(balance.pk).differences == ()
                checks += 1
            deductions.result()

        assert checks > 0

    def test_runs_the_rules_in_a_read_only_transaction(self, monkeypatch):
        monkeypatch.setattr(run, "RULES", ["DELETE FROM identity_user RETURNING 1"])

        with pytest.raises(Exception, match="read-only transaction"):
            verification.verify_balance(uuid4())
