import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.db import connection

from credits import operations, verification
from credits.models import CreditTotal
from credits.verification import run
from tests.support.factories.credits import capture, deduct, hold, make_balance, reverse
from tests.support.times import DAY, HOUR, MINUTE, NOON

LATER = NOON + MINUTE
EVENING = NOON + 8 * HOUR


@pytest.fixture
def ledger(db):
    """Return a balance with some of everything: the ids of its rows, by what they are."""
    balance = make_balance(grants=[(100, None), (20, DAY)])
    owner = balance.owner
    deduct(balance, 30, at=LATER)  # number 3: 20 fleeting, 10 lasting
    captured = hold(balance, 30, at=LATER)
    capture(captured, 25, at=LATER)  # number 4
    placed = hold(balance, 15, at=LATER, expires_in=DAY)
    purchase = operations.add_credits(owner=owner, amount=40, type="purchase", idempotency_key="k", at=LATER)
    operations.deduct_credits(owner=owner, feature="simple-ai-insight", at=LATER)  # number 6
    reverse(purchase, 5, at=LATER)  # number 7
    operations.add_credits(owner=owner, amount=7, type="promotion", expires_at=LATER + HOUR, at=LATER)
    operations.expire_credits(balance_ids=[balance.pk], at=EVENING)  # number 9
    # One more of its own, in debt: 10 bought, 4 spent, 10 taken back.
    debtor = make_balance(grants=[(10, None)], type="purchase")
    deduct(debtor, 4)
    reverse(debtor.transactions.get(sequence=1), 10)
    operations.set_limit(owner=debtor.owner, amount=50, period="day", at=NOON)
    # And one that is folded, but for its last transaction.
    folded = make_balance(grants=[(50, None)], unit_price=Decimal("0.10"))
    deduct(folded, 5)
    operations.aggregate_usage(balance_ids=[folded.pk], most=9)
    deduct(folded, 6)
    transactions = {t.sequence: t for t in balance.transactions.prefetch_related("entries", "opened")}
    assert len(transactions) == 9
    return SimpleNamespace(
        balance=balance.pk,
        debtor=debtor.pk,
        folded=folded.pk,
        rollup=folded.rollups.get(type="usage").pk,
        given=folded.grants.get().pk,
        owed=debtor.entries.get(grant=None).pk,
        lasting=transactions[1].opened.get().pk,
        fleeting=transactions[2].opened.get().pk,
        bought=transactions[5].opened.get().pk,
        brief=transactions[8].opened.get().pk,
        captured=captured.pk,
        placed=placed.pk,
        pin=placed.pins.get().pk,
        request=balance.requests.get().pk,
        limit=debtor.limits.get().pk,
        nobody=uuid4(),
        **{f"number{sequence}": recorded.pk for sequence, recorded in transactions.items()},
        **{
            f"share{sequence}_{entry.position}": entry.pk
            for sequence, recorded in transactions.items()
            for entry in recorded.entries.all()
        },
    )


def falsify(ledger, sql, without=()):
    """Change the ledger behind the back of every trigger and, where named, of a constraint."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for constraint in without:
            cursor.execute("SELECT conrelid::regclass FROM pg_constraint WHERE conname = %s", [constraint])
            [(table,)] = cursor.fetchall()
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql, vars(ledger))
        assert cursor.rowcount == 1
        cursor.execute("SET LOCAL session_replication_role = origin")


def found_in(*balances):
    return [difference for balance in balances for difference in verification.verify_balance(balance).differences]


BALANCE = "UPDATE credits_creditbalance SET {} WHERE id = %({})s"
TRANSACTION = "UPDATE credits_credittransaction SET {} WHERE id = %({})s"
ENTRY = "UPDATE credits_creditentry SET {} WHERE id = %({})s"
GRANT = "UPDATE credits_creditgrant SET {} WHERE id = %({})s"
HOLD = "UPDATE credits_credithold SET {} WHERE id = %({})s"
PIN = "UPDATE credits_creditpin SET {} WHERE id = %({})s"
LIMIT = "UPDATE credits_spendinglimit SET {} WHERE id = %({})s"
ROLLUP = "UPDATE credits_creditrollup SET {} WHERE id = %({})s"
FOLD = "UPDATE credits_usagewatermark SET {} WHERE balance_id = %({})s"
REQUEST = "UPDATE credits_creditrequest SET {} WHERE id = %({})s"

# The rule, the row it must name, what is done to which row, the other rules that must speak too, constraints dropped.
FALSIFICATIONS = [
    ("balance_is_sum_of_amounts", "balance", BALANCE, "balance = balance + 1", "balance", "balance_is_what_remains"),
    ("balance_is_what_remains", "balance", GRANT, "remaining = remaining - 1", "lasting", "entries_make_the_grant"),
    (
        "held_is_sum_of_grants",
        "balance",
        GRANT,
        "held = held + 1, remaining = remaining - 1",
        "lasting",
        "entries_make_the_grant grant_holds_its_pins balance_is_what_remains",
    ),
    (
        "debt_is_entries_without_grant",
        "debtor",
        ENTRY,
        "amount = amount - 1",
        "owed",
        "entries_make_the_amount hash_is_true",
    ),
    (
        "debt_leaves_nothing",
        "balance",
        BALANCE,
        "debt = 1",
        "balance",
        "debt_is_entries_without_grant balance_is_what_remains",
        "credits_balance_debt_leaves_nothing",
    ),
    ("sequence_has_no_gaps", "balance", BALANCE, "sequence = sequence + 1", "balance", ""),
    ("sequence_has_no_gaps", "number9", TRANSACTION, "sequence = 11", "number9", "hash_is_true"),
    ("head_is_last_hash", "balance", BALANCE, "head_hash = sha256('x')", "balance", ""),
    ("time_never_runs_back", "balance", BALANCE, "last_at = last_at - interval '1 hour'", "balance", ""),
    (
        "time_never_runs_back",
        "number4",
        TRANSACTION,
        "timestamp = timestamp + interval '1 hour'",
        "number3",
        "hash_is_true remaining_after_is_true",
    ),
    ("balance_after_adds_up", "number6", TRANSACTION, "balance_after = balance_after + 1", "number6", "hash_is_true"),
    ("chained_to_predecessor", "number6", TRANSACTION, "previous_hash = sha256('x')", "number6", "hash_is_true"),
    ("hash_is_true", "number6", TRANSACTION, "description = 'Another word'", "number6", ""),
    ("hash_is_true", "number1", GRANT, "roll_cap = 0, expires_at = 'infinity'", "lasting", ""),
    (
        "amount_fits_type",
        "number1",
        TRANSACTION,
        "type = 'usage'",
        "number1",
        "hash_is_true source_fits_its_transaction",
        "credits_transaction_type_fits_amount",
    ),
    ("usage_costs_its_price", "number6", TRANSACTION, "quantity = 2", "number6", "hash_is_true"),
    (
        "entries_make_the_amount",
        "number7",
        "DELETE FROM credits_creditentry WHERE id = %(share7_0)s",
        "",
        "",
        "entries_make_the_grant hash_is_true",
    ),
    ("entries_stand_in_place", "number3", ENTRY, "position = 5", "share3_1", "hash_is_true"),
    (
        "one_entry_per_grant",
        "number3",
        ENTRY,
        "grant_id = %(fleeting)s",
        "share3_1",
        "hash_is_true entries_make_the_grant grant_within_its_amount remaining_after_is_true",
        "credits_entry_one_per_grant",
    ),
    ("gift_opens_one_grant", "number1", GRANT, "amount = amount + 1", "lasting", "hash_is_true"),
    ("grant_within_its_amount", "share1_0", GRANT, "amount = 90", "lasting", "hash_is_true gift_opens_one_grant"),
    (
        "grant_within_its_amount",
        "lasting",
        GRANT,
        "remaining = 101",
        "lasting",
        "balance_is_what_remains entries_make_the_grant",
        "credits_grant_never_more_than_given",
    ),
    ("remaining_after_is_true", "share5_0", ENTRY, "remaining_after = 39", "share5_0", "hash_is_true"),
    (
        "spent_while_spendable",
        "share3_0",
        GRANT,
        "expires_at = effective_at + interval '1 s'",
        "fleeting",
        "hash_is_true",
    ),
    ("expires_no_sooner", "share9_0", GRANT, "expires_at = NULL", "brief", "hash_is_true"),
    (
        "void_follows_a_voiding",
        "share9_0",
        TRANSACTION,
        "type = 'void'",
        "number9",
        "hash_is_true",
    ),
    ("paid_in_burn_order", "share3_1", GRANT, "priority = 100", "fleeting", "hash_is_true"),
    (
        "pinned_while_spendable",
        "placed",
        HOLD,
        "created_at = created_at - interval '1 day'",
        "placed",
        "remaining_after_is_true",
    ),
    ("entries_make_the_grant", "lasting", GRANT, "remaining = remaining - 1", "lasting", "balance_is_what_remains"),
    (
        "grant_holds_its_pins",
        "lasting",
        HOLD,
        "status = 'released', closed_at = created_at",
        "placed",
        "entries_make_the_grant",
    ),
    (
        "live_while_it_holds_credits",
        "lasting",
        GRANT,
        "live = false",
        "lasting",
        "",
        "credits_grant_live_while_it_holds_credits",
    ),
    ("source_fits_its_transaction", "brief", GRANT, "source = 'rollover'", "brief", "hash_is_true"),
    (
        "voided_has_nothing_free",
        "lasting",
        GRANT,
        "voided_at = '2025-03-30T00:00:00Z'",
        "lasting",
        "",
        "credits_grant_voided_has_nothing_free",
    ),
    ("hold_is_its_pins", "placed", HOLD, "amount = amount + 1", "placed", ""),
    ("captured_hold_is_its_usage", "captured", HOLD, "captured = 24", "captured", ""),
    (
        "captured_hold_is_its_usage",
        "captured",
        HOLD,
        "status = 'lapsed', captured = 0",
        "captured",
        "",
    ),
    ("limit_counts_what_was_used", "limit", LIMIT, "used = used + 1", "limit", ""),
    ("limit_counts_what_was_used", "limit", LIMIT, "period = 'month', window_starts_at = '2025-02-01Z'", "limit", ""),
    (
        "window_is_of_the_calendar",
        "limit",
        LIMIT,
        "window_starts_at = window_starts_at + interval '1 hour'",
        "limit",
        "",
        "credits_limit_window_of_the_calendar",
    ),
    ("return_follows_its_original", "number7", TRANSACTION, "reverses_id = %(number1)s", "number7", "hash_is_true"),
    (
        "returns_no_more_than_there_was",
        "number7",
        TRANSACTION,
        "amount = -45",
        "number7",
        "hash_is_true balance_is_sum_of_amounts balance_after_adds_up entries_make_the_amount",
    ),
    ("request_names_its_effect", "request", REQUEST, "key = 'another'", "request", "key_is_remembered"),
    ("key_is_remembered", "number5", "DELETE FROM credits_creditrequest WHERE id = %(request)s", "", "", ""),
    ("rollups_are_the_ledger", "rollup", ROLLUP, "went = went + 1", "rollup", ""),
    ("rollups_are_the_ledger", "rollup", ROLLUP, "came = came + 1", "rollup", ""),
    ("rollups_are_the_ledger", "rollup", ROLLUP, "count = count + 1", "rollup", ""),
    ("rollups_are_the_ledger", "rollup", ROLLUP, "value = value + 0.000001", "rollup", ""),
    ("rollups_are_the_ledger", "rollup", ROLLUP, "unpriced = unpriced - 1", "rollup", ""),
    ("rollups_are_the_ledger", "rollup", ROLLUP, "day = day + 1", "rollup", ""),
    ("rollups_are_the_ledger", "rollup", ROLLUP, "feature_id = 'simple-ai-insight'", "rollup", ""),
    ("rollups_are_the_ledger", "rollup", ROLLUP, "member_id = %(nobody)s", "rollup", ""),
    ("rollups_are_the_ledger", "folded", "DELETE FROM credits_creditrollup WHERE id = %(rollup)s", "", "", ""),
    ("rollups_are_the_ledger", "rollup", FOLD, "sequence = 1", "folded", ""),
    ("rollups_are_the_ledger", "rollup", FOLD, "sequence = 3", "folded", ""),
    ("rollups_are_the_ledger", "rollup", GRANT, "unit_price = 0.2", "given", "hash_is_true"),
    ("folded_within_the_ledger", "folded", FOLD, "sequence = 4", "folded", "rollups_are_the_ledger"),
    ("refers_within_its_balance", "request", REQUEST, "transaction_id = %(nobody)s", "request", ""),
    ("refers_within_its_balance", "request", REQUEST, "hold_id = %(nobody)s", "request", ""),
    ("refers_within_its_balance", "lasting", GRANT, "parent_id = %(nobody)s", "lasting", "hash_is_true"),
    ("refers_within_its_balance", "number6", TRANSACTION, "reverses_id = %(nobody)s", "number6", "hash_is_true"),
    (
        "refers_within_its_balance",
        "pin",
        PIN,
        "grant_id = %(nobody)s",
        "pin",
        "entries_make_the_grant grant_holds_its_pins hold_is_its_pins remaining_after_is_true",
    ),
]


@pytest.mark.django_db
class TestVerifyBalance:
    def test_finds_nothing_wrong_where_nothing_is(self, ledger):
        assert found_in(ledger.balance, ledger.debtor, ledger.folded) == []

    @pytest.mark.parametrize(
        "falsification", FALSIFICATIONS, ids=[f"{case[0]}-{case[1]}-{at}" for at, case in enumerate(FALSIFICATIONS)]
    )
    def test_names_the_rule_and_the_row(self, ledger, falsification):
        rule, row, template, change, changed, others, *without = falsification

        falsify(ledger, template.format(change, changed), without)
        found = found_in(ledger.balance, ledger.debtor, ledger.folded)

        assert getattr(ledger, row) in {difference.row_id for difference in found if difference.rule == rule}
        assert {difference.rule for difference in found} == {rule, *others.split()}
        assert all(difference.words for difference in found)

    def test_has_every_rule_tried_above(self):
        named = {name for sql in run.RULES for name in re.findall(r"'(\w+)', CASE|^SELECT '(\w+)'", sql, re.MULTILINE)}

        assert {first or second for first, second in named} == {case[0] for case in FALSIFICATIONS}

    @pytest.mark.parametrize("wrong", [40, 74, 76, 100])
    def test_knows_what_was_left_beside_pins(self, db, wrong):
        balance = make_balance()
        capture(hold(balance, 60), 25, at=LATER)
        hold(balance, 10, at=LATER + MINUTE)
        deduct(balance, 5, at=LATER + 2 * MINUTE)
        assert found_in(balance.pk) == []
        usage, later = balance.entries.filter(amount__lt=0).order_by("transaction__sequence")
        assert (usage.remaining_after, later.remaining_after) == (75, 60)

        change = ENTRY.format(f"remaining_after = {wrong}", "entry")
        falsify(SimpleNamespace(entry=usage.pk), change)
        falsify(SimpleNamespace(entry=later.pk), change)

        found = {difference.row_id for difference in found_in(balance.pk) if difference.rule.startswith("remaining")}
        assert found == {usage.pk, later.pk}

    def test_counts_what_it_read(self, ledger):
        findings = verification.verify_balance(ledger.balance)

        assert (findings.balances, findings.transactions) == (1, 9)


@pytest.mark.django_db
class TestVerifyAll:
    def test_reads_every_balance_once_whatever_the_range(self, ledger):
        for chunk in (1, 2, 3, 100):
            findings = list(verification.verify_all(chunk=chunk))

            assert sum(part.balances for part in findings) == 3
            assert sum(part.transactions for part in findings) == 15

    def test_finds_rows_whose_balance_is_gone(self, ledger):
        falsify(ledger, "DELETE FROM credits_creditbalance WHERE id = %(debtor)s")

        [*found] = [difference for part in verification.verify_all(chunk=1) for difference in part.differences]

        assert {difference.rule for difference in found} == {"refers_within_its_balance"}
        assert {difference.balance_id for difference in found} == {ledger.debtor}

    def test_has_every_rule_of_the_whole_tried_below(self):
        assert [re.findall(r"^SELECT '(\w+)'", sql, re.MULTILINE) for sql in run.WHOLE_RULES] == [
            ["totals_are_the_rollups"]
        ]

    @pytest.mark.parametrize(
        "change",
        [
            "went = went + 1",
            "came = came + 1",
            "count = 9",
            "value = 0",
            "unpriced = 1",
            "day = day + 1",
            "type = 'void'",
        ],
    )
    def test_compares_the_totals_with_the_rollups(self, ledger, change):
        falsify(ledger, f"UPDATE credits_credittotal SET {change} WHERE type = 'usage'")
        total = CreditTotal.objects.exclude(type="promotion").get().pk

        [*found] = [difference for part in verification.verify_all(chunk=9) for difference in part.differences]

        assert {(difference.rule, difference.balance_id) for difference in found} == {("totals_are_the_rollups", None)}
        assert total in {difference.row_id for difference in found}
        assert all(difference.words for difference in found)

    def test_misses_a_total_that_is_not_there(self, ledger):
        falsify(ledger, "DELETE FROM credits_credittotal WHERE type = 'usage'")

        [found] = verification.verify_whole().differences

        assert found.words.endswith("nothing; the roll-ups have 0 came, 5 went, 1 counted, value -0.500000, unpriced 0")


@pytest.mark.django_db(transaction=True)
class TestVerifyWhileTheSystemWorks:
    def test_gives_no_false_alarm(self):
        balance = make_balance(grants=[(100_000, None)])

        def spend():
            for _ in range(40):
                deduct(balance, 1)
            connection.close()

        with ThreadPoolExecutor(max_workers=1) as pool:
            spending = pool.submit(spend)
            looks = 0
            while not spending.done():
                assert verification.verify_balance(balance.pk).differences == ()
                looks += 1
            spending.result()

        assert looks > 0

    def test_writes_nothing_even_by_mistake(self, monkeypatch):
        monkeypatch.setattr(run, "RULES", ["DELETE FROM identity_user RETURNING 1"])

        with pytest.raises(Exception, match="read-only transaction"):
            verification.verify_balance(uuid4())
