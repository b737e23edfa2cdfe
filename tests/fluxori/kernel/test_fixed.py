from uuid import uuid4

import psycopg
import pytest
from django.db import DataError, OperationalError, connection, transaction
from django.forms import model_to_dict

from fluxori.identity.models import User
from fluxori.kernel import fixed
from tests.credits.operations.ledger import statements
from tests.factories.identity import UserFactory

ADD = "SELECT %s::int + %s::int"


def prepared(sql: str) -> int:
    """Return how often the statement stands prepared in the database's session."""
    return len(fixed.fetch("SELECT name FROM pg_prepared_statements WHERE statement = %s", [sql]))


@pytest.mark.django_db
class TestFetch:
    def test_answers_with_the_rows(self):
        assert fixed.fetch("SELECT n, %(word)s::text FROM generate_series(1, 2) AS n", {"word": "a"}) == [
            (1, "a"),
            (2, "a"),
        ]

    def test_has_the_statement_parsed_once_however_often_it_runs(self):
        for number in range(3):
            assert fixed.fetch(ADD, [number, 1]) == [(number + 1,)]

        assert prepared("SELECT $1::int + $2::int") == 1

    def test_leaves_it_at_that_where_a_proxy_forbids(self, settings):
        settings.PREPARED_STATEMENTS = False

        assert fixed.fetch("SELECT %s::int + 7", [1]) == [(8,)]

        assert prepared("SELECT $1::int + 7") == 0

    def test_keeps_no_text_of_what_django_runs(self):
        fixed.fetch(ADD, [1, 1])
        list(User.objects.filter(email="somebody@example.com"))

        assert connection.connection.prepare_threshold is None
        assert connection.connection._prepared._counts == {}

    def test_fails_as_django_fails(self):
        with pytest.raises(DataError) as refused, transaction.atomic():
            fixed.fetch("SELECT 1 / %s::int", [0])

        assert isinstance(refused.value.__cause__, psycopg.errors.DivisionByZero)

    def test_works_on_after_a_failure(self):
        with pytest.raises(DataError), transaction.atomic():
            fixed.fetch("SELECT 2 / %s::int", [0])

        assert fixed.fetch("SELECT 2 / %s::int", [1]) == [(2,)]

    def test_is_logged_with_its_values(self):
        with statements() as run:
            fixed.fetch(ADD, [40, 2])

        assert run == ["SELECT 40::int + 2::int"]


@pytest.mark.django_db
class TestGet:
    def test_returns_the_row_as_django_would(self):
        ann = UserFactory.create()

        found = fixed.get(User, ann.pk)

        assert found is not None
        assert model_to_dict(found) == model_to_dict(User.objects.get(pk=ann.pk))
        assert not found._state.adding

    def test_returns_nothing_where_there_is_none(self):
        assert fixed.get(User, uuid4()) is None


@pytest.mark.django_db
class TestArray:
    @pytest.mark.parametrize("words", [[], [""], ["a", 'say "no"', "back\\slash", "{,}", "NULL", " a b ", "ß🙂"]])
    def test_is_read_as_it_was_meant(self, words):
        assert fixed.fetch("SELECT %s::text[]", [fixed.array(words)]) == [(words,)]

    def test_spells_ids_and_leaves_out_what_is_missing(self):
        ids = [uuid4(), uuid4()]

        assert fixed.fetch("SELECT %s::uuid[]", [fixed.array([ids[0], None, ids[1]])]) == [(ids,)]


@pytest.mark.django_db(transaction=True)
class TestFetchOnItsOwnConnection:
    def test_says_that_the_connection_is_lost(self):
        fixed.fetch("SELECT 1", [])
        connection.connection.close()

        with pytest.raises(OperationalError):
            fixed.fetch("SELECT 1", [])

        connection.close()
        assert fixed.fetch("SELECT 1", []) == [(1,)]
