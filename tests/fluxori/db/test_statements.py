from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from django.db import DataError, IntegrityError, OperationalError, connection, transaction
from django.forms import model_to_dict
from django.test.utils import CaptureQueriesContext

from fluxori.db import statements
from fluxori.identity.models import User
from tests.support.factories.identity import UserFactory
from tests.support.operations import captured_statements

ADD = "SELECT %s::int + %s::int"


def prepared(sql: str) -> int:
    """Return how often the statement stands prepared in the database's session."""
    return len(statements.fetch("SELECT name FROM pg_prepared_statements WHERE statement = %s", [sql]))


def cut() -> None:
    """Let the database end the session that the connection stands on."""
    pid = connection.connection.info.backend_pid
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as another:
        another.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@pytest.fixture
def next_request():
    """Return what Django does with a connection that it has kept when the next request begins."""
    assert connection.settings_dict["CONN_HEALTH_CHECKS"]
    connection.close()
    return connection.close_if_unusable_or_obsolete


@pytest.mark.django_db
class TestFetch:
    def test_answers_with_the_rows(self):
        assert statements.fetch("SELECT n, %(word)s::text FROM generate_series(1, 2) AS n", {"word": "a"}) == [
            (1, "a"),
            (2, "a"),
        ]

    def test_has_the_statement_parsed_once_however_often_it_runs(self):
        for number in range(3):
            assert statements.fetch(ADD, [number, 1]) == [(number + 1,)]

        assert prepared("SELECT $1::int + $2::int") == 1

    def test_leaves_it_at_that_where_a_proxy_forbids(self, settings):
        settings.PREPARED_STATEMENTS = False

        assert statements.fetch("SELECT %s::int + 7", [1]) == [(8,)]

        assert prepared("SELECT $1::int + 7") == 0

    def test_keeps_no_text_of_what_django_runs(self):
        statements.fetch(ADD, [1, 1])
        list(User.objects.filter(email="somebody@example.com"))

        assert connection.connection.prepare_threshold is None
        assert connection.connection._prepared._counts == {}

    def test_fails_as_django_fails(self):
        with pytest.raises(DataError) as refused, transaction.atomic():
            statements.fetch("SELECT 1 / %s::int", [0])

        assert isinstance(refused.value.__cause__, psycopg.errors.DivisionByZero)

    def test_works_on_after_a_failure(self):
        with pytest.raises(DataError), transaction.atomic():
            statements.fetch("SELECT 2 / %s::int", [0])

        assert statements.fetch("SELECT 2 / %s::int", [1]) == [(2,)]

    def test_is_logged_with_its_values(self):
        with captured_statements() as run:
            statements.fetch(ADD, [40, 2])

        assert run == ["SELECT 40::int + 2::int"]


@pytest.mark.django_db
class TestGet:
    def test_returns_the_row_as_django_would(self):
        ann = UserFactory.create()

        found = statements.get(User, ann.pk)

        assert found is not None
        assert model_to_dict(found) == model_to_dict(User.objects.get(pk=ann.pk))
        assert not found._state.adding

    def test_returns_nothing_where_there_is_none(self):
        assert statements.get(User, uuid4()) is None


@pytest.mark.django_db
class TestSelect:
    def test_returns_the_rows_as_django_would_in_the_order_asked_for(self):
        ann, bob, eve = (UserFactory.create(email=f"{name}@example.com") for name in ("ann", "bob", "eve"))

        found = statements.select(User, "email <> %s ORDER BY email DESC", [bob.email])

        assert found == [eve, ann]
        assert model_to_dict(found[0]) == model_to_dict(User.objects.get(pk=eve.pk))


@pytest.mark.django_db
class TestInsert:
    def row(self, **columns):
        row = {field.column: getattr(UserFactory.build(), field.attname) for field in User._meta.concrete_fields}
        return {**row, **columns}

    def test_writes_rows_as_django_would(self):
        rows = [self.row(email=f"{name}@example.com") for name in ("ann", "bob\\ \"'%s")]

        statements.insert(User, rows)

        written = User.objects.order_by("email").values(*rows[0])
        assert list(written) == rows

    def test_writes_nothing_where_there_are_none(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            statements.insert(User, [])

    def test_is_refused_as_djangos_own_statements_are(self):
        row = self.row()
        statements.insert(User, [row])

        with pytest.raises(IntegrityError), transaction.atomic():
            statements.insert(User, [row])


@pytest.mark.django_db
class TestInstants:
    @pytest.mark.parametrize(
        "said", ["2025-03-03 12:00:00.000001+00", "2025-03-03T14:30:00+02:30", "0001-01-01 00:00:00+00"]
    )
    def test_are_read_in_utc_to_the_microsecond(self, said):
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::timestamptz", [said])
            [(by_django,)] = cursor.fetchall()

        assert statements.fetch("SELECT %s::timestamptz", [said]) == [(by_django,)]
        assert by_django == datetime.fromisoformat(said)
        assert by_django.tzinfo is UTC


@pytest.mark.django_db
class TestArray:
    @pytest.mark.parametrize("words", [[], [""], ["a", 'say "no"', "back\\slash", "{,}", "NULL", " a b ", "ß🙂"]])
    def test_is_read_as_it_was_meant(self, words):
        assert statements.fetch("SELECT %s::text[]", [statements.array(words)]) == [(words,)]

    def test_spells_ids_and_leaves_out_what_is_missing(self):
        ids = [uuid4(), uuid4()]

        assert statements.fetch("SELECT %s::uuid[]", [statements.array([ids[0], None, ids[1]])]) == [(ids,)]


@pytest.mark.django_db(transaction=True)
class TestFetchOnItsOwnConnection:
    def test_says_that_the_connection_is_lost(self):
        statements.fetch("SELECT 1", [])
        cut()

        with pytest.raises(OperationalError):
            statements.fetch("SELECT 1", [])

        connection.close()
        assert statements.fetch("SELECT 1", []) == [(1,)]

    def test_begins_a_request_on_a_new_one_where_the_old_was_lost(self, next_request):
        statements.fetch("SELECT 1", [])
        cut()
        next_request()

        assert statements.fetch("SELECT 1", []) == [(1,)]

    def test_asks_nothing_more_where_it_works(self, next_request):
        statements.fetch("SELECT 1", [])
        next_request()

        with CaptureQueriesContext(connection) as asked:
            statements.fetch("SELECT 2", [])
            User.objects.exists()

        assert len(asked) == 2

    def test_does_not_run_again_what_failed_for_another_reason(self, next_request):
        statements.fetch("SELECT set_config('statement_timeout', '100', false)", [])
        next_request()

        with CaptureQueriesContext(connection) as asked, pytest.raises(OperationalError):
            statements.fetch("SELECT pg_sleep(9)", [])

        assert [query["sql"] for query in asked].count("SELECT pg_sleep(9)") == 1
        connection.close()

    def test_is_not_run_again_in_the_middle_of_a_transaction(self, next_request):
        statements.fetch("SELECT 1", [])
        next_request()

        def broken_off() -> None:
            with transaction.atomic():
                statements.fetch("SELECT 1", [])
                cut()
                statements.fetch("SELECT 2", [])

        with CaptureQueriesContext(connection) as asked, pytest.raises(OperationalError):
            broken_off()

        assert [query["sql"] for query in asked].count("SELECT 2") == 1
