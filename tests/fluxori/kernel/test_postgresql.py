"""What the connection sends, and when: transactions, and statements that nobody waits for."""

from collections.abc import Callable
from time import monotonic
from uuid import uuid4

import psycopg
import pytest
from django.db import DataError, IntegrityError, OperationalError, ProgrammingError, connection, transaction

from fluxori.identity.models import User
from fluxori.kernel import fixed
from fluxori.kernel.postgresql.pipeline import Pipeline, numbered
from tests.factories.credits import somebody

pytestmark = pytest.mark.django_db(transaction=True)

RENAME = "UPDATE identity_user SET email = %s WHERE id = %s"
NOTHING = "SELECT 1 / %s::int"


def seen_elsewhere(sql: str, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as another:
        return another.execute(sql, values).fetchall()


def state() -> str:
    """Return what PostgreSQL says our session is doing."""
    [(said,)] = seen_elsewhere(
        "SELECT state FROM pg_stat_activity WHERE pid = %s", connection.connection.info.backend_pid
    )
    return str(said)


def email(user: User) -> str:
    [(said,)] = seen_elsewhere("SELECT email FROM identity_user WHERE id = %s", user.pk)
    return str(said)


def until(so: Callable[[], bool]) -> None:
    deadline = monotonic() + 20
    while not so():
        assert monotonic() < deadline


def free(user: User) -> bool:
    """Return whether nobody has locked the user's row."""
    return bool(seen_elsewhere("SELECT FROM identity_user WHERE id = %s FOR UPDATE SKIP LOCKED", user.pk))


@pytest.fixture
def trips(monkeypatch):
    """Count how often we wait for an answer to what stands in line."""
    made: list[int] = []
    wait = Pipeline.wait

    def counted(self):
        made.append(len(self._awaited))
        wait(self)

    monkeypatch.setattr(Pipeline, "wait", counted)
    return made


@pytest.fixture
def user():
    return somebody()


class TestBegin:
    def test_waits_for_the_first_statement(self, user):
        with transaction.atomic():
            assert state() == "idle"
            fixed.fetch("SELECT 1", [])
            assert state() == "idle in transaction"

    def test_goes_along_with_what_is_asked(self, trips, user):
        with transaction.atomic():
            fixed.ask_all([fixed.Question("SELECT 1", [], list), fixed.Question("SELECT 2", [], list)])
            asked = list(trips)

        assert len(asked) == 1

    def test_goes_before_djangos_own_statements(self, user):
        with transaction.atomic():
            User.objects.filter(pk=user.pk).update(email="own@example.test")
            assert state() == "idle in transaction"
            assert email(user) == user.email

        assert email(user) == "own@example.test"

    def test_is_never_sent_where_nothing_is_asked(self, trips, user):
        with transaction.atomic():
            pass

        assert (trips, state()) == ([], "idle")


class TestSend:
    def test_writes_with_the_commit(self, trips, user):
        with transaction.atomic():
            fixed.fetch("SELECT 1", [])
            fixed.send(RENAME, ["new@example.test", user.pk])
            assert email(user) == user.email
            trips.clear()

        assert len(trips) == 1
        assert email(user) == "new@example.test"

    def test_lets_it_be_written_meanwhile_where_that_is_wanted(self, user):
        with transaction.atomic():
            fixed.send(RENAME, ["new@example.test", user.pk], now=True)
            until(lambda: not free(user))

        assert email(user) == "new@example.test"

    def test_is_run_before_what_is_asked_after_it(self, user):
        with transaction.atomic():
            fixed.send(RENAME, ["new@example.test", user.pk])
            assert fixed.fetch("SELECT email FROM identity_user WHERE id = %s", [user.pk]) == [("new@example.test",)]
            fixed.send(RENAME, ["newer@example.test", user.pk])
            assert User.objects.get(pk=user.pk).email == "newer@example.test"

    def test_is_not_for_outside_of_a_transaction(self, user):
        with pytest.raises(AssertionError):
            fixed.send(RENAME, ["new@example.test", user.pk])

    def test_is_taken_back_with_the_transaction(self, user):
        with transaction.atomic():
            fixed.send(RENAME, ["new@example.test", user.pk])
            transaction.set_rollback(True)

        assert email(user) == user.email
        assert state() == "idle"


class TestAFailureOfWhatWasSent:
    def test_is_raised_by_the_end_of_the_transaction_and_nothing_is_written(self, user):
        told: list[str] = []

        def write() -> None:
            with transaction.atomic():
                transaction.on_commit(lambda: told.append("committed"))
                fixed.send(RENAME, ["new@example.test", user.pk])
                fixed.send(NOTHING, [0])

        with pytest.raises(DataError) as refused:
            write()

        assert isinstance(refused.value.__cause__, psycopg.errors.DivisionByZero)
        assert (email(user), told) == (user.email, [])
        assert fixed.fetch("SELECT 1", []) == [(1,)]

    def test_is_raised_by_what_is_asked_next(self, user):
        def ask_django() -> None:
            with transaction.atomic():
                fixed.send(NOTHING, [0])
                with pytest.raises(DataError):
                    User.objects.count()
                raise KeyError

        with pytest.raises(KeyError):
            ask_django()

        assert User.objects.count() == 1

    def test_ends_with_its_savepoint(self, user):
        with transaction.atomic():
            fixed.send(RENAME, ["new@example.test", user.pk])
            with pytest.raises(IntegrityError), transaction.atomic():
                fixed.send("INSERT INTO identity_user (id) VALUES (%s)", [uuid4()])

        assert email(user) == "new@example.test"

    def test_does_not_hide_what_the_block_of_a_savepoint_raised(self, user):
        def stumble() -> None:
            with transaction.atomic():
                fixed.send(NOTHING, [0])
                raise KeyError

        with transaction.atomic():
            with pytest.raises(KeyError):
                stumble()
            fixed.send(RENAME, ["new@example.test", user.pk])

        assert email(user) == "new@example.test"

    def test_leaves_what_was_to_be_prepared_behind_it_to_the_next_time(self, user):
        behind = "SELECT %s::int + 17"
        for _ in range(2):
            with pytest.raises(DataError):
                fixed.ask_all([fixed.Question(NOTHING, [0], list), fixed.Question(behind, [1], list)])

        assert fixed.fetch(behind, [1]) == [(18,)]
        assert fixed.fetch(NOTHING, [1]) == [(1,)]

    def test_of_its_text_leaves_nothing_prepared(self, user):
        for _ in range(2):
            with pytest.raises(ProgrammingError):
                fixed.fetch("SELECT no_such_column", [])

        assert fixed.fetch("SELECT 1", []) == [(1,)]

    def test_is_the_lost_connection_where_that_is_what_failed(self, user):
        def broken_off() -> None:
            with transaction.atomic():
                fixed.send(RENAME, ["new@example.test", user.pk])
                seen_elsewhere("SELECT pg_terminate_backend(%s, 5000)", connection.connection.info.backend_pid)

        with pytest.raises(OperationalError):
            broken_off()

        connection.close()
        assert email_again(user) == user.email

    def test_goes_with_the_connection(self, user):
        with transaction.atomic():
            fixed.send(NOTHING, [0])
            connection.close()
            with pytest.raises(transaction.TransactionManagementError):
                fixed.fetch("SELECT 1", [])

        assert email_again(user) == user.email


def email_again(user: User) -> str:
    return User.objects.get(pk=user.pk).email


class TestWhatDjangoReadsPieceByPiece:
    def test_can_be_locked_in_a_transaction_as_ever(self, user):
        with transaction.atomic():
            fixed.send(RENAME, ["new@example.test", user.pk])
            found = list(User.objects.select_for_update().iterator(chunk_size=1))

        assert [each.email for each in found] == ["new@example.test"]

    def test_can_be_read_outside_of_one(self, user):
        assert list(User.objects.iterator(chunk_size=1)) == [user]


class TestNumbered:
    def test_counts_places_without_names(self):
        assert numbered("SELECT %s, %s, '5 %%'") == (b"SELECT $1, $2, '5 %'", ())

    def test_gives_a_name_one_number(self):
        assert numbered("SELECT %(a)s, %(b)s, %(a)s") == (b"SELECT $1, $2, $1", ("a", "b"))


class TestValues:
    def test_that_have_no_spelling_are_refused(self):
        with pytest.raises(TypeError, match="list"):
            fixed.fetch("SELECT %s", [[1]])

    def test_with_a_nul_are_refused_and_not_cut(self):
        with pytest.raises(DataError, match="NUL"):
            fixed.fetch("SELECT %s::text", ["a\0b"])

        assert fixed.fetch("SELECT %s::text", ["ab"]) == [("ab",)]

    def test_may_be_missing(self):
        assert fixed.fetch("SELECT %s::int IS NULL", [None]) == [(True,)]

    def test_may_be_longer_than_what_goes_out_at_once(self):
        long = "ß" * 3_000_000

        assert fixed.fetch("SELECT %s::text, %s::text", [long, long]) == [(long, long)]
