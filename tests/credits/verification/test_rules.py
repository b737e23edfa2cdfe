"""Every rule reports the row that breaks it, and no rule reports a correct ledger."""

import re
from types import SimpleNamespace

import pytest

from credits.verification import run
from tests.support.factories.credits import capture, deduct, hold, make_balance
from tests.support.falsification import differences_of, falsify
from tests.support.times import MINUTE, NOON

LATER = NOON + MINUTE

BALANCE = "UPDATE credits_creditbalance SET {} WHERE id = %({})s"
TRANSACTION = "UPDATE credits_credittransaction SET {} WHERE id = %({})s"
ENTRY = "UPDATE credits_creditentry SET {} WHERE id = %({})s"
GRANT = "UPDATE credits_creditgrant SET {} WHERE id = %({})s"
HOLD = "UPDATE credits_credithold SET {} WHERE id = %({})s"
PIN = "UPDATE credits_creditpin SET {} WHERE id = %({})s"
LIMIT = "UPDATE credits_spendinglimit SET {} WHERE id = %({})s"
ROLLUP = "UPDATE credits_creditrollup SET {} WHERE id = %({})s"
WATERMARK = "UPDATE credits_usagewatermark SET {} WHERE balance_id = %({})s"
REQUEST = "UPDATE credits_creditrequest SET {} WHERE id = %({})s"

# The rule, the row that it reports, the change, the changed row, other rules that report, and dropped constraints.
FALSIFICATIONS = [
    ("balance_is_sum_of_amounts", "balance", BALANCE, "balance = balance + 1", "balance", "balance_matches_grants"),
    ("balance_matches_grants", "balance", GRANT, "remaining = remaining - 1", "permanent", "entries_sum_to_grant"),
    (
        "held_matches_grants",
        "balance",
        GRANT,
        "held = held + 1, remaining = remaining - 1",
        "permanent",
        "entries_sum_to_grant held_matches_pins balance_matches_grants",
    ),
    (
        "debt_matches_entries",
        "debtor",
        ENTRY,
        "amount = amount - 1",
        "debt_entry",
        "entries_sum_to_amount hash_matches_row",
    ),
    (
        "debt_excludes_remaining",
        "balance",
        BALANCE,
        "debt = 1",
        "balance",
        "debt_matches_entries balance_matches_grants",
        "credits_balance_debt_without_remaining",
    ),
    ("sequence_has_no_gaps", "balance", BALANCE, "sequence = sequence + 1", "balance", ""),
    ("sequence_has_no_gaps", "number9", TRANSACTION, "sequence = 11", "number9", "hash_matches_row"),
    ("head_hash_is_last_hash", "balance", BALANCE, "head_hash = sha256('x')", "balance", ""),
    ("timestamps_never_decrease", "balance", BALANCE, "last_at = last_at - interval '1 hour'", "balance", ""),
    (
        "timestamps_never_decrease",
        "number4",
        TRANSACTION,
        "timestamp = timestamp + interval '1 hour'",
        "number3",
        "hash_matches_row remaining_after_matches_history",
    ),
    (
        "balance_after_adds_up",
        "number6",
        TRANSACTION,
        "balance_after = balance_after + 1",
        "number6",
        "hash_matches_row",
    ),
    ("previous_hash_matches", "number6", TRANSACTION, "previous_hash = sha256('x')", "number6", "hash_matches_row"),
    ("hash_matches_row", "number6", TRANSACTION, "description = 'Another word'", "number6", ""),
    ("hash_matches_row", "number1", GRANT, "roll_cap = 0, expires_at = 'infinity'", "permanent", ""),
    (
        "amount_matches_type",
        "number1",
        TRANSACTION,
        "type = 'usage'",
        "number1",
        "hash_matches_row source_matches_transaction",
        "credits_transaction_type_fits_amount",
    ),
    ("usage_matches_price", "number6", TRANSACTION, "quantity = 2", "number6", "hash_matches_row"),
    (
        "entries_sum_to_amount",
        "number7",
        "DELETE FROM credits_creditentry WHERE id = %(entry7_0)s",
        "",
        "",
        "entries_sum_to_grant hash_matches_row",
    ),
    ("entry_positions_have_no_gaps", "number3", ENTRY, "position = 5", "entry3_1", "hash_matches_row"),
    (
        "one_entry_per_grant",
        "number3",
        ENTRY,
        "grant_id = %(expiring)s",
        "entry3_1",
        "hash_matches_row entries_sum_to_grant grant_within_amount remaining_after_matches_history",
        "credits_entry_unique_grant",
    ),
    ("addition_creates_one_grant", "number1", GRANT, "amount = amount + 1", "permanent", "hash_matches_row"),
    (
        "grant_within_amount",
        "entry1_0",
        GRANT,
        "amount = 90",
        "permanent",
        "hash_matches_row addition_creates_one_grant",
    ),
    (
        "grant_within_amount",
        "permanent",
        GRANT,
        "remaining = 101",
        "permanent",
        "balance_matches_grants entries_sum_to_grant",
        "credits_grant_remaining_within_amount",
    ),
    ("remaining_after_matches_history", "entry5_0", ENTRY, "remaining_after = 39", "entry5_0", "hash_matches_row"),
    (
        "spent_while_spendable",
        "entry3_0",
        GRANT,
        "expires_at = effective_at + interval '1 s'",
        "expiring",
        "hash_matches_row",
    ),
    ("expired_not_before_expiry", "entry9_0", GRANT, "expires_at = NULL", "short_lived", "hash_matches_row"),
    (
        "void_follows_voided_at",
        "entry9_0",
        TRANSACTION,
        "type = 'void'",
        "number9",
        "hash_matches_row",
    ),
    ("spent_in_burn_order", "entry3_1", GRANT, "priority = 100", "expiring", "hash_matches_row"),
    (
        "pinned_grants_spendable",
        "placed",
        HOLD,
        "created_at = created_at - interval '1 day'",
        "placed",
        "remaining_after_matches_history",
    ),
    ("entries_sum_to_grant", "permanent", GRANT, "remaining = remaining - 1", "permanent", "balance_matches_grants"),
    (
        "held_matches_pins",
        "permanent",
        HOLD,
        "status = 'released', closed_at = created_at",
        "placed",
        "entries_sum_to_grant",
    ),
    (
        "live_iff_credits",
        "permanent",
        GRANT,
        "live = false",
        "permanent",
        "",
        "credits_grant_live_iff_credits",
    ),
    ("source_matches_transaction", "short_lived", GRANT, "source = 'rollover'", "short_lived", "hash_matches_row"),
    (
        "voided_without_remaining",
        "permanent",
        GRANT,
        "voided_at = '2025-03-30T00:00:00Z'",
        "permanent",
        "",
        "credits_grant_voided_without_remaining",
    ),
    ("hold_amount_matches_pins", "placed", HOLD, "amount = amount + 1", "placed", ""),
    ("capture_matches_usage", "captured", HOLD, "captured = 24", "captured", ""),
    (
        "capture_matches_usage",
        "captured",
        HOLD,
        "status = 'lapsed', captured = 0",
        "captured",
        "",
    ),
    ("limit_counter_matches_usage", "limit", LIMIT, "used = used + 1", "limit", ""),
    ("limit_counter_matches_usage", "limit", LIMIT, "period = 'month', window_starts_at = '2025-02-01Z'", "limit", ""),
    (
        "limit_window_on_calendar",
        "limit",
        LIMIT,
        "window_starts_at = window_starts_at + interval '1 hour'",
        "limit",
        "",
        "credits_limit_window_of_the_calendar",
    ),
    ("correction_follows_original", "number7", TRANSACTION, "reverses_id = %(number1)s", "number7", "hash_matches_row"),
    (
        "corrections_within_original",
        "number7",
        TRANSACTION,
        "amount = -45",
        "number7",
        "hash_matches_row balance_is_sum_of_amounts balance_after_adds_up entries_sum_to_amount",
    ),
    ("request_matches_transaction", "request", REQUEST, "key = 'another'", "request", "idempotency_key_has_request"),
    ("idempotency_key_has_request", "number5", "DELETE FROM credits_creditrequest WHERE id = %(request)s", "", "", ""),
    ("rollups_match_ledger", "rollup", ROLLUP, "credits_out = credits_out + 1", "rollup", ""),
    ("rollups_match_ledger", "rollup", ROLLUP, "credits_in = credits_in + 1", "rollup", ""),
    ("rollups_match_ledger", "rollup", ROLLUP, "count = count + 1", "rollup", ""),
    ("rollups_match_ledger", "rollup", ROLLUP, "value = value + 0.000001", "rollup", ""),
    ("rollups_match_ledger", "rollup", ROLLUP, "unpriced = unpriced - 1", "rollup", ""),
    ("rollups_match_ledger", "rollup", ROLLUP, "day = day + 1", "rollup", ""),
    ("rollups_match_ledger", "rollup", ROLLUP, "feature_id = 'simple-ai-insight'", "rollup", ""),
    ("rollups_match_ledger", "rollup", ROLLUP, "member_id = %(unknown)s", "rollup", ""),
    ("rollups_match_ledger", "aggregated", "DELETE FROM credits_creditrollup WHERE id = %(rollup)s", "", "", ""),
    ("rollups_match_ledger", "rollup", WATERMARK, "sequence = 1", "aggregated", ""),
    ("rollups_match_ledger", "rollup", WATERMARK, "sequence = 3", "aggregated", ""),
    ("rollups_match_ledger", "rollup", GRANT, "unit_price = 0.2", "priced", "hash_matches_row"),
    ("watermark_within_ledger", "aggregated", WATERMARK, "sequence = 4", "aggregated", "rollups_match_ledger"),
    ("references_exist_in_balance", "request", REQUEST, "transaction_id = %(unknown)s", "request", ""),
    ("references_exist_in_balance", "request", REQUEST, "hold_id = %(unknown)s", "request", ""),
    ("references_exist_in_balance", "permanent", GRANT, "parent_id = %(unknown)s", "permanent", "hash_matches_row"),
    ("references_exist_in_balance", "number6", TRANSACTION, "reverses_id = %(unknown)s", "number6", "hash_matches_row"),
    (
        "references_exist_in_balance",
        "pin",
        PIN,
        "grant_id = %(unknown)s",
        "pin",
        "entries_sum_to_grant held_matches_pins hold_amount_matches_pins remaining_after_matches_history",
    ),
]
# The rules of which the tests of an operation show that they report a changed row.
ELSEWHERE = {
    "transfer_matches_counterpart",
    "transferred_grants_keep_their_terms",
    "usage_takes_debt_by_capture_only",
}


@pytest.mark.django_db
class TestRules:
    def test_reports_nothing_for_a_correct_ledger(self, ledger):
        assert differences_of(ledger.balance, ledger.debtor, ledger.aggregated) == []

    @pytest.mark.parametrize(
        "falsification", FALSIFICATIONS, ids=[f"{case[0]}-{case[1]}-{at}" for at, case in enumerate(FALSIFICATIONS)]
    )
    def test_reports_the_rule_and_the_row_of_a_falsification(self, ledger, falsification):
        rule, row, template, change, changed, others, *without = falsification

        falsify(ledger, template.format(change, changed), without)
        differences = differences_of(ledger.balance, ledger.debtor, ledger.aggregated)

        assert getattr(ledger, row) in {difference.row_id for difference in differences if difference.rule == rule}
        assert {difference.rule for difference in differences} == {rule, *others.split()}
        assert all(difference.details for difference in differences)

    def test_every_rule_has_a_falsification_above(self):
        matches = {
            match for sql in run.RULES for match in re.findall(r"'(\w+)', CASE|^SELECT '(\w+)'", sql, re.MULTILINE)
        }

        assert {first or second for first, second in matches} == {case[0] for case in FALSIFICATIONS} | ELSEWHERE

    @pytest.mark.parametrize("wrong", [40, 74, 76, 100])
    def test_reports_a_wrong_remaining_after_while_credits_are_pinned(self, db, wrong):
        balance = make_balance()
        capture(hold(balance, 60), 25, at=LATER)
        hold(balance, 10, at=LATER + MINUTE)
        deduct(balance, 5, at=LATER + 2 * MINUTE)
        assert differences_of(balance.pk) == []
        usage, later = balance.entries.filter(amount__lt=0).order_by("transaction__sequence")
        assert (usage.remaining_after, later.remaining_after) == (75, 60)

        change = ENTRY.format(f"remaining_after = {wrong}", "entry")
        falsify(SimpleNamespace(entry=usage.pk), change)
        falsify(SimpleNamespace(entry=later.pk), change)

        reported = {
            difference.row_id for difference in differences_of(balance.pk) if difference.rule.startswith("remaining")
        }
        assert reported == {usage.pk, later.pk}


class TestCorrectionsWithinOriginal:
    def test_reports_a_reversal_of_credits_that_were_lost_before(self, ledger):
        ids = SimpleNamespace(debtor=ledger.debtor)

        falsify(
            ids, "UPDATE credits_credittransaction SET type = 'void' WHERE balance_id = %(debtor)s AND sequence = 2"
        )

        [difference] = [d for d in differences_of(ledger.debtor) if d.rule == "corrections_within_original"]
        assert difference.details == "10 corrected and 4 lost of 10"
