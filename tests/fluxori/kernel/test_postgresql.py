"""What the connection sends, and when: transactions, and statements that nobody waits for."""

import signal
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from uuid import uuid4

import psycopg
import pytest
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)

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

    def test_goes_before_what_a_cursor_runs_that_is_older_than_the_transaction(self, user):
        with connection.cursor() as cursor, transaction.atomic():
            cursor.execute(RENAME, ["new@example.test", user.pk])
            transaction.set_rollback(True)

        assert email(user) == user.email

    def test_says_how_far_transactions_are_to_be_kept_apart_where_somebody_has(self, user):
        connection.connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

        with transaction.atomic():
            assert fixed.fetch("SHOW transaction_isolation", []) == [("repeatable read",)]

        connection.close()

    def test_goes_before_what_is_asked_where_autocommit_is_off(self, user):
        transaction.set_autocommit(False)
        try:
            fixed.fetch("SELECT 1", [])
            assert state() == "idle in transaction"
            transaction.rollback()
            with transaction.atomic(savepoint=False):
                fixed.send(RENAME, ["new@example.test", user.pk])
            transaction.rollback()
        finally:
            transaction.set_autocommit(True)

        assert email(user) == user.email

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

    def test_is_run_before_what_an_older_cursor_asks(self, user):
        with transaction.atomic(), connection.cursor() as cursor:
            fixed.send(RENAME, ["new@example.test", user.pk])
            cursor.execute("SELECT email FROM identity_user WHERE id = %s", [user.pk])
            assert cursor.fetchall() == [("new@example.test",)]

    def test_works_while_rows_are_read_piece_by_piece(self, user):
        others = [somebody() for _ in range(3)]

        with transaction.atomic():
            for each in User.objects.order_by("pk").iterator(chunk_size=1):
                fixed.send(RENAME, [f"{each.pk}@example.test", each.pk])

        assert {email(each) for each in [user, *others]} == {f"{each.pk}@example.test" for each in [user, *others]}

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

    def test_that_somebody_took_for_that_of_a_block_within_leaves_nothing_to_commit(self, user):
        told: list[str] = []

        def write() -> None:
            with transaction.atomic():
                transaction.on_commit(lambda: told.append("committed"))
                fixed.send(RENAME, ["new@example.test", user.pk])
                fixed.send(NOTHING, [0])
                with suppress(DatabaseError), transaction.atomic():
                    User.objects.count()

        with pytest.raises(InternalError, match="has failed"):
            write()

        assert (email(user), told) == (user.email, [])
        assert User.objects.count() == 1

    def test_before_a_question_is_understood_leaves_nothing_to_be_run_later(self, trips, user):
        with pytest.raises(TypeError):
            fixed.ask_all([fixed.Question("SELECT 1", [], list), fixed.Question("SELECT %s", [[]], list)])
        trips.clear()

        assert fixed.fetch("SELECT 2", []) == [(2,)]
        assert trips == [2]

    def test_found_at_the_end_of_all_is_raised(self, user):
        fixed.fetch("CREATE TEMP TABLE once (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)", [])

        with pytest.raises(IntegrityError):
            fixed.fetch("INSERT INTO once VALUES (1), (1)", [])

        assert fixed.fetch("SELECT count(*) FROM once", []) == [(0,)]

    def test_of_a_statement_that_somebody_has_thrown_away_has_it_prepared_anew(self, user):
        asked = "SELECT %s::int + 23"
        fixed.fetch(asked, [1])
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")

        with pytest.raises(ProgrammingError):
            fixed.fetch(asked, [1])

        assert fixed.fetch(asked, [1]) == [(24,)]

    def test_to_wait_for_the_commit_is_what_interrupted_it(self, user):
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        def write() -> None:
            with transaction.atomic():
                fixed.send("SELECT pg_sleep(20)", [])
                signal.setitimer(signal.ITIMER_REAL, 0.2)

        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            with pytest.raises(KeyboardInterrupt):
                write()
        finally:
            signal.signal(signal.SIGALRM, before)

        with transaction.atomic():
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
