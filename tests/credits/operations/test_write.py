from credits.operations import _ledger as ledger
from credits.operations import _rows as rows


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
        assert {part[1] for part in ledger._PART.finditer(ledger._WRITE)} == {*rows.PARTS} - {"balances"}

    def test_names_the_ids_of_whatever_it_changes(self):
        assert {part for part in rows.PARTS if f".id = ANY(%({part}_ids)s" in ledger._WRITE} == rows.CHANGED
        assert ledger._WRITE.count("    UPDATE ") == len(rows.CHANGED)
