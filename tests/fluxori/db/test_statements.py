from contextlib import nullcontext
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

import psycopg
import pytest
from django.core.signals import request_started
from django.db import DataError, IntegrityError, OperationalError, connection, transaction
from django.db.backends.utils import CursorDebugWrapper, CursorWrapper
from django.db.transaction import TransactionManagementError
from django.forms import model_to_dict
from django.test.utils import CaptureQueriesContext

from fluxori.db import statements
from fluxori.identity.models import User
from tests.support.database import as_owner
from tests.support.factories.identity import UserFactory

ADD = "SELECT %s::int + %s::int AS total"


def times_prepared(sql: str) -> int:
    """Return how many prepared statements of the session have this text."""
    return len(statements.fetch("SELECT name FROM pg_prepared_statements WHERE statement = %s", [sql]))


def terminate_session() -> None:
    """End the session of the current connection on the server."""
    pid = connection.connection.info.backend_pid
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as another:
        another.execute("SET ROLE NONE")
        another.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@pytest.mark.django_db
class TestFetch:
    def test_returns_rows_as_dictionaries_by_column_name(self):
        rows = statements.fetch("SELECT n, 'a' AS letter FROM generate_series(1, 2) AS n", [])

        assert rows == [{"n": 1, "letter": "a"}, {"n": 2, "letter": "a"}]

    def test_returns_an_empty_list_if_no_row_matches(self):
        assert statements.fetch("SELECT 1 AS one WHERE false", []) == []

    def test_binds_parameters_by_name(self):
        sql = "SELECT %(word)s::text AS first, %(word)s::text AS second, %(missing)s::text AS missing"

        assert statements.fetch(sql, {"word": "'; --", "missing": None}) == [
            {"first": "'; --", "second": "'; --", "missing": None}
        ]

    def test_reads_json_columns_as_python_objects(self):
        [row] = statements.fetch("SELECT json_build_object('n', 1) AS document", [])

        assert row == {"document": {"n": 1}}

    @pytest.mark.parametrize(
        "text", ["2025-03-03 12:00:00.000001+00", "2025-03-03T14:30:00+02:30", "0001-01-01 00:00:00+00"]
    )
    def test_reads_timestamps_in_utc_to_the_microsecond_as_django_does(self, text):
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::timestamptz", [text])
            [(by_django,)] = cursor.fetchall()

        assert statements.fetch("SELECT %s::timestamptz AS at", [text]) == [{"at": by_django}]
        assert by_django == datetime.fromisoformat(text)
        assert by_django.tzinfo is UTC


@pytest.mark.django_db
class TestExecute:
    def test_runs_a_statement_that_returns_no_rows(self):
        ann = UserFactory.create()

        statements.execute("UPDATE identity_user SET email = %s WHERE id = %s", ["ann@example.com", ann.pk])

        assert User.objects.get(pk=ann.pk).email == "ann@example.com"


@pytest.mark.django_db
class TestPreparedStatements:
    def test_a_statement_is_prepared_once_however_often_it_runs(self):
        for number in range(7):
            assert statements.fetch(ADD, [number, 1]) == [{"total": number + 1}]

        assert times_prepared("SELECT $1::int + $2::int AS total") == 1

    def test_a_statement_is_prepared_at_its_first_use(self):
        statements.fetch("SELECT %s::int + 5 AS total", [1])

        assert times_prepared("SELECT $1::int + 5 AS total") == 1

    def test_nothing_is_prepared_if_prepared_statements_is_off(self, settings):
        settings.PREPARED_STATEMENTS = False

        for _ in range(7):
            assert statements.fetch("SELECT %s::int + 7 AS total", [1]) == [{"total": 8}]

        assert times_prepared("SELECT $1::int + 7 AS total") == 0

    def test_parameters_are_bound_by_postgresql_also_if_prepared_statements_is_off(self, settings):
        settings.PREPARED_STATEMENTS = False

        # The text that PostgreSQL received has a placeholder, not the value.
        with as_owner():
            [row] = statements.fetch(
                "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() AND %s::int = 12345", [12345]
            )

        assert row["query"].endswith("$1::int = 12345")

    def test_the_statements_of_django_are_not_prepared(self):
        for _ in range(20):
            list(User.objects.filter(email="ann@example.com"))

        sql = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE %s"
        assert statements.fetch(sql, ['SELECT "identity_user"%']) == []

    def test_statements_of_django_do_not_replace_prepared_ones(self):
        statements.fetch(ADD, [1, 1])
        limit = connection.connection.prepared_max

        for number in range(limit + 1):
            list(User.objects.filter(email=f"{number}@example.com"))

        assert times_prepared("SELECT $1::int + $2::int AS total") == 1
        # psycopg remembers the text of so many statements at most.
        assert len(connection.connection._prepared._counts) <= limit


@pytest.fixture(params=["without_query_log", "with_query_log"])
def query_log(request):
    with CaptureQueriesContext(connection) if request.param == "with_query_log" else nullcontext():
        yield


@pytest.mark.django_db
class TestDjangoCursor:
    """The names of Django that ``statements`` uses and Django does not document, and what they provide."""

    def test_the_wrapper_runs_the_cursor_in_its_cursor_attribute(self):
        executed = []

        class RecordingCursor(psycopg.Cursor):
            def execute(self, query, params=None, **options):
                executed.append((query, params))
                return super().execute(query, params, **options)

        with connection.cursor() as cursor:
            assert type(cursor) is CursorWrapper
            assert isinstance(cursor.cursor, psycopg.Cursor)
            cursor.cursor = RecordingCursor(connection.connection)
            cursor.execute("SELECT %s::int", [1])
            assert cursor.fetchall() == [(1,)]

        assert executed == [("SELECT %s::int", [1])]

    def test_the_wrapper_of_a_connection_with_a_query_log_is_a_debug_wrapper(self):
        with CaptureQueriesContext(connection), connection.cursor() as cursor:
            assert isinstance(cursor, CursorDebugWrapper)
            assert issubclass(CursorDebugWrapper, CursorWrapper)

    def test_debug_sql_logs_the_text_that_it_is_given(self):
        with (
            CaptureQueriesContext(connection) as queries,
            connection.cursor() as cursor,
            cursor.debug_sql("SELECT 'as given'"),
        ):
            pass

        assert [query["sql"] for query in queries] == ["SELECT 'as given'"]

    def test_a_statement_is_logged_once_with_its_values(self):
        with CaptureQueriesContext(connection) as queries:
            statements.fetch(ADD, [40, 2])
            statements.execute("SELECT %(word)s::text", {"word": "O'Neil"})

        assert [query["sql"] for query in queries] == [
            "SELECT 40::int + 2::int AS total",
            "SELECT 'O''Neil'::text",
        ]
        assert all(float(query["time"]) >= 0 for query in queries)

    def test_a_statement_that_fails_is_logged(self):
        with CaptureQueriesContext(connection) as queries, pytest.raises(DataError), transaction.atomic():
            statements.fetch("SELECT 1 / %s::int AS quotient", [0])

        assert "SELECT 1 / 0::int AS quotient" in [query["sql"] for query in queries]

    def test_nothing_is_logged_without_a_query_log(self):
        connection.queries_log.clear()

        statements.fetch(ADD, [1, 1])

        assert list(connection.queries_log) == []

    def test_query_count_assertions_count_a_statement(self, django_assert_num_queries):
        with django_assert_num_queries(2):
            statements.fetch(ADD, [1, 1])
            User.objects.exists()

    def test_execute_wrappers_are_called(self, query_log):
        calls = []

        def record(execute, sql, params, many, context):
            calls.append((sql, params, many, context["connection"].alias))
            return execute(sql, params, many, context)

        with connection.execute_wrapper(record):
            assert statements.fetch(ADD, [1, 1]) == [{"total": 2}]

        assert calls == [(ADD, [1, 1], False, "default")]

    def test_an_execute_wrapper_can_block_a_statement(self, query_log):

        def block(execute, sql, params, many, context):
            raise PermissionError

        with connection.execute_wrapper(block), pytest.raises(PermissionError):
            statements.execute("DELETE FROM identity_user", [])

    def test_errors_of_psycopg_are_raised_as_errors_of_django(self, query_log):

        with pytest.raises(DataError) as raised, transaction.atomic():
            statements.fetch("SELECT 1 / %s::int AS quotient", [0])

        assert isinstance(raised.value.__cause__, psycopg.errors.DivisionByZero)

    def test_a_statement_runs_again_after_a_failure(self):
        with pytest.raises(DataError), transaction.atomic():
            statements.fetch("SELECT 2 / %s::int AS quotient", [0])

        assert statements.fetch("SELECT 2 / %s::int AS quotient", [1]) == [{"quotient": 2}]

    def test_no_statement_runs_in_a_transaction_that_is_marked_for_rollback(self):
        with transaction.atomic():
            transaction.set_rollback(True)
            with pytest.raises(TransactionManagementError):
                statements.fetch(ADD, [1, 1])


@pytest.mark.django_db
class TestGet:
    def test_returns_the_row_as_django_does(self):
        ann = UserFactory.create()

        row = statements.get(User, ann.pk)

        assert row is not None
        assert model_to_dict(row) == model_to_dict(User.objects.get(pk=ann.pk))
        assert not row._state.adding

    def test_returns_none_if_there_is_no_such_row(self):
        assert statements.get(User, uuid4()) is None


@pytest.mark.django_db
class TestSelect:
    def test_returns_the_rows_as_django_does_in_the_given_order(self):
        ann, bob, eve = (UserFactory.create(email=f"{name}@example.com") for name in ("ann", "bob", "eve"))

        rows = statements.select(User, "email <> %s ORDER BY email DESC", [bob.email])

        assert rows == [eve, ann]
        assert model_to_dict(rows[0]) == model_to_dict(User.objects.get(pk=eve.pk))


@pytest.mark.django_db
class TestInsert:
    numbers = count(1_000_000)

    def row(self, **columns):
        row = {field.column: getattr(UserFactory.build(), field.attname) for field in User._meta.concrete_fields}
        # PostgreSQL numbers users, and these statements write every column.
        return {**row, "number": next(self.numbers), **columns}

    def test_writes_rows_as_django_does(self):
        rows = [self.row(email=f"{name}@example.com") for name in ("ann", "bob\\ \"'%s")]

        statements.insert(User, rows)

        assert list(User.objects.order_by("email").values(*rows[0])) == rows

    def test_runs_no_statement_without_rows(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            statements.insert(User, [])

    def test_raises_the_integrity_error_of_django(self):
        row = self.row()
        statements.insert(User, [row])

        with pytest.raises(IntegrityError), transaction.atomic():
            statements.insert(User, [row])


@pytest.mark.django_db
class TestArray:
    @pytest.mark.parametrize("words", [[], [""], ["a", 'say "no"', "back\\slash", "{,}", "NULL", " a b ", "ß🙂"]])
    def test_postgresql_reads_the_same_strings(self, words):
        assert statements.fetch("SELECT %s::text[] AS words", [statements.array(words)]) == [{"words": words}]

    def test_contains_ids_and_leaves_out_none(self):
        ids = [uuid4(), uuid4()]

        rows = statements.fetch("SELECT %s::uuid[] AS ids", [statements.array([ids[0], None, ids[1]])])

        assert rows == [{"ids": ids}]


@pytest.fixture
def begin_request():
    """A function that does what Django does with a kept connection when a request begins."""
    connection.close()
    return lambda: request_started.send(sender=None)


@pytest.mark.django_db(transaction=True)
class TestLostConnection:
    def test_is_reported_as_an_operational_error(self):
        statements.fetch("SELECT 1 AS one", [])
        terminate_session()

        with pytest.raises(OperationalError):
            statements.fetch("SELECT 1 AS one", [])

        connection.close()
        assert statements.fetch("SELECT 1 AS one", []) == [{"one": 1}]

    def test_is_replaced_when_the_next_request_begins(self, begin_request):
        statements.fetch("SELECT 1 AS one", [])
        terminate_session()
        begin_request()

        assert statements.fetch("SELECT 1 AS one", []) == [{"one": 1}]

    def test_statements_are_prepared_again_on_the_new_connection(self, begin_request):
        statements.fetch(ADD, [1, 1])
        terminate_session()
        begin_request()

        assert statements.fetch(ADD, [1, 2]) == [{"total": 3}]
        assert times_prepared("SELECT $1::int + $2::int AS total") == 1

    def test_is_looked_for_without_a_statement(self, begin_request):
        statements.fetch("SELECT 1 AS one", [])
        kept = connection.connection

        with CaptureQueriesContext(connection) as queries:
            begin_request()
            statements.fetch("SELECT 2 AS two", [])
            User.objects.exists()

        assert len(queries) == 2
        assert connection.connection is kept

    def test_a_statement_that_fails_for_another_reason_is_not_repeated(self, begin_request):
        statements.fetch("SELECT set_config('statement_timeout', '100', false)", [])
        begin_request()

        with CaptureQueriesContext(connection) as queries, pytest.raises(OperationalError):
            statements.fetch("SELECT pg_sleep(9)", [])

        assert [query["sql"] for query in queries].count("SELECT pg_sleep(9)") == 1
        connection.close()

    def test_a_statement_is_not_repeated_inside_a_transaction(self, begin_request):
        statements.fetch("SELECT 1 AS one", [])
        begin_request()

        def lose_connection_in_transaction() -> None:
            with transaction.atomic():
                statements.fetch("SELECT 1 AS one", [])
                terminate_session()
                statements.fetch("SELECT 2 AS two", [])

        with CaptureQueriesContext(connection) as queries, pytest.raises(OperationalError):
            lose_connection_in_transaction()

        assert [query["sql"] for query in queries].count("SELECT 2 AS two") == 1
