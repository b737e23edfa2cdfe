import pytest
from django.db import connection

from credits.engine import locked_balance as ledger
from credits.engine import rows
from fluxori.core.ids import uuid7
from tests.support.factories.credits import make_balance


class TestStatement:
    def test_with_every_part_is_the_file(self):
        assert ledger._statement(rows.PARTS) == ledger._WRITE

    def test_has_the_parts_that_are_written_and_no_others(self):
        statement = ledger._statement(("balances", "transactions", "limits"))

        assert [part for part in rows.PARTS if f"%({part})s" in statement] == ["balances", "transactions", "limits"]

    def test_without_parts_changes_the_balance_only(self):
        statement = ledger._statement(("balances",))

        assert "INSERT" not in statement
        assert statement.count("UPDATE") == 1

    def test_finds_each_part_under_the_name_of_its_list(self):
        assert {part[1] for part in ledger._PART.finditer(ledger._WRITE)} == {*rows.PARTS}

    def test_may_leave_the_balance_for_later(self):
        statement = ledger._statement(("transactions",))

        assert "UPDATE" not in statement
        assert statement.count("INSERT") == 1

    def test_names_the_ids_of_whatever_it_changes(self):
        assert {part for part in rows.PARTS if f".id = ANY(%({part}_ids)s" in ledger._WRITE} == rows.CHANGED
        assert ledger._WRITE.count("    UPDATE ") == len(rows.CHANGED)


class TestHistories:
    @pytest.mark.django_db
    @pytest.mark.parametrize("table", ["credits_credittransaction", "credits_creditgrant"])
    def test_are_taken_to_be_long_even_where_each_balance_has_one_row(self, table):
        for _ in range(100):
            make_balance()
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {table}")
            cursor.execute(f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {table} WHERE balance_id = %s", [uuid7()])
            [[plan]] = cursor.fetchall()

        assert plan[0]["Plan"]["Plan Rows"] == 50
