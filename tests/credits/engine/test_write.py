"""The write statement: one block for each kind of row, and only the blocks that have rows."""

import re
from itertools import combinations
from pathlib import Path

import pytest
from django.db import connection

from credits.engine import write
from credits.engine.write import BLOCKS, empty_rows, write_rows, write_statement
from fluxori.core.ids import uuid7
from tests.support.database import as_owner
from tests.support.factories.credits import deduct, hold, make_balance
from tests.support.operations import captured_statements

EMPTY = dict.fromkeys(BLOCKS, "[]") | {f"{block}_ids": "{}" for block in BLOCKS}
SUBSETS = [blocks for size in range(1, len(BLOCKS) + 1) for blocks in combinations(BLOCKS, size)]


class TestWriteStatement:
    @pytest.mark.django_db
    def test_every_subset_of_blocks_is_a_valid_statement(self):
        with connection.cursor() as cursor:
            for blocks in SUBSETS:
                cursor.execute(f"EXPLAIN {write_statement(blocks)}", EMPTY)

        assert len(SUBSETS) == 2 ** len(BLOCKS) - 1

    def test_has_the_given_blocks_in_their_order_and_no_others(self):
        statement = write_statement(("balances", "transactions", "limits"))

        assert [block for block in BLOCKS if f"%({block})s" in statement] == ["balances", "transactions", "limits"]
        assert (statement.count("UPDATE credits_"), statement.count("INSERT INTO")) == (1, 2)

    def test_every_block_has_a_file_and_every_file_is_a_block(self):
        files = (Path(write.__file__).parent / "sql" / "write").glob("*.sql")

        assert sorted(file.stem for file in files) == sorted(BLOCKS)

    @pytest.mark.parametrize("block", BLOCKS)
    def test_a_block_that_updates_rows_names_their_ids(self, block):
        updates = write_statement((block,)).startswith(f"WITH {block} AS (\nUPDATE")

        assert updates == (f".id = ANY(%({block}_ids)s" in write_statement((block,)))
        assert updates == (block in write._UPDATES_BY_ID)


@pytest.mark.django_db
class TestWriteRows:
    def test_runs_no_statement_without_rows(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            write_rows(empty_rows())

    def test_leaves_out_the_blocks_without_rows(self):
        balance = make_balance()

        assert written_blocks(lambda: deduct(balance, 1)) == ["balances", "transactions", "entries", "changed_grants"]
        assert written_blocks(lambda: deduct(balance, 1, idempotency_key="k"))[-1] == "requests"
        assert written_blocks(lambda: hold(balance, 1)) == ["balances", "changed_grants", "holds", "pins"]


def written_blocks(call):
    """Return the blocks of the write statement that ``call`` runs."""
    with captured_statements() as statements:
        call()
    [statement] = [sql for sql in statements if sql.startswith("WITH balances AS")]
    return re.findall(r"^(?:WITH )?(\w+) AS \($", statement, re.MULTILINE)


class TestPlannerStatistics:
    @pytest.mark.django_db
    @pytest.mark.parametrize("table", ["credits_credittransaction", "credits_creditgrant"])
    def test_postgresql_expects_fifty_rows_a_balance_even_if_each_balance_has_one(self, table):
        for _ in range(100):
            make_balance()
        with as_owner(), connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {table}")
            cursor.execute(f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {table} WHERE balance_id = %s", [uuid7()])
            [[plan]] = cursor.fetchall()

        assert plan[0]["Plan"]["Plan Rows"] == 50
