"""Errors of the database as one line for an operator."""

import pytest
from django.db import Error, connection, transaction

from fluxori.db.error_lines import error_line
from tests.support.database import as_owner


def line_of(*statements):
    """Run the statements in a savepoint; return the line for the error of the last one."""
    with as_owner(), connection.cursor() as cursor, pytest.raises(Error) as error, transaction.atomic():
        _execute(cursor, statements)
    line = error_line(error.value)
    assert line is None or "\n" not in line
    return line


def _execute(cursor, statements):
    for statement in statements:
        cursor.execute(statement)


@pytest.mark.django_db
class TestErrorLine:
    @pytest.mark.parametrize(
        ("statements", "beginning", "remedy"),
        [
            (["SELECT * FROM no_such_table"], "The database lacks migrations of this version", "manage.py migrate"),
            (["SELECT missing FROM credits_feature"], "The database lacks migrations", "manage.py migrate"),
            (
                ["SET LOCAL transaction_read_only = on", "DELETE FROM credits_feature"],
                "The database is read-only (cannot execute DELETE in a read-only transaction)",
                "must name the primary server",
            ),
            (
                ["CREATE ROLE clerk", "SET LOCAL ROLE clerk", "SELECT * FROM credits_feature"],
                "The database role lacks a privilege (permission denied for table credits_feature)",
                "grant_privileges ROLE",
            ),
            (
                ["SET LOCAL statement_timeout = 1", "SELECT pg_sleep(9)"],
                "A statement was ended: STATEMENT_TIMEOUT_MS passed",
                "the command can be repeated",
            ),
            (
                ["DO $$ BEGIN RAISE SQLSTATE '53100' USING MESSAGE = 'no space left on device'; END $$"],
                "The disk of the database server is full (no space left on device",
                "Free space",
            ),
        ],
    )
    def test_names_the_cause_and_what_to_do(self, statements, beginning, remedy):
        line = line_of(*statements)

        assert line.startswith(beginning)
        assert remedy in line

    def test_a_server_that_cannot_be_reached_leads_to_database_url(self, tmp_path):
        elsewhere = connection.copy()
        elsewhere.settings_dict["HOST"] = str(tmp_path)

        with pytest.raises(Error) as error:
            elsewhere.ensure_connection()

        line = error_line(error.value)
        assert line.startswith("The database cannot be used (")
        assert "Check DATABASE_URL" in line
        assert "\n" not in line

    def test_an_error_of_the_program_has_none(self):
        assert line_of("SELECT 1 +") is None
        assert line_of("SELECT 1 / 0") is None
