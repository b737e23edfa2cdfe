import signal
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from fluxori.devtools.demo.models import DemoMark
from fluxori.devtools.demo.role import application_url
from fluxori.devtools.embedded_postgres import provision
from fluxori.devtools.former_schema import FORMER_MIGRATION
from fluxori.identity.models import User
from tests.support.database import as_owner
from tests.support.factories.credits import make_balance, make_user


@pytest.fixture(autouse=True)
def _restore_signal_handler():
    """The command handles SIGTERM in its process, which is the one that runs the tests."""
    former = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, former)


@pytest.fixture
def former_schema(db):
    with connection.cursor() as cursor:
        values = (*FORMER_MIGRATION, "2025-01-01")
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)", values)


@pytest.mark.django_db
class TestDemo:
    def test_rejects_a_database_with_other_data(self):
        make_user()

        with pytest.raises(CommandError, match="contains data that the demo did not create"):
            call_command("demo", "--exit")

        assert not DemoMark.objects.exists()

    def test_does_not_run_in_production(self, settings):
        settings.PRODUCTION = True

        with pytest.raises(CommandError, match="ENVIRONMENT=production"):
            call_command("demo", "--exit")


@pytest.mark.skipif(not provision.is_wanted(), reason="DATABASE_URL names a server without the role of the demo")
@pytest.mark.django_db(transaction=True)
class TestRoleOfTheDemo:
    def test_can_use_the_application_and_cannot_change_history(self):
        make_balance()
        with as_owner():
            url = application_url()
            assert application_url() == url
        name = connection.settings_dict["NAME"]
        try:
            with psycopg.connect(f"{urlsplit(url)._replace(path=f'/{name}').geturl()}") as client:
                assert client.execute("SELECT current_user, count(*) FROM credits_creditbalance").fetchall() == [
                    ("fluxori_app", 1)
                ]
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    client.execute("UPDATE credits_credittransaction SET amount = 0")
        finally:
            # The role stays, because other databases of the server may use it.
            with as_owner(), connection.cursor() as cursor:
                cursor.execute("DROP OWNED BY fluxori_app")


@pytest.mark.usefixtures("former_schema")
class TestDemoOnAFormerSchema:
    @pytest.mark.parametrize("seeded", [True, False])
    def test_names_the_command_that_begins_again_and_changes_nothing(self, seeded):
        DemoMark.objects.create(secret="00", seeded=seeded)

        with pytest.raises(CommandError, match=r"To begin again: python3 manage\.py demo --fresh$") as error:
            call_command("demo", "--exit")

        assert error.value.returncode == 1
        assert "\n" not in str(error.value)
        assert DemoMark.objects.get().seeded is seeded
        assert not User.objects.exists()

    def test_names_the_folder_to_remove_if_the_demo_did_not_create_the_data(self, monkeypatch):
        monkeypatch.delenv("DATABASE_URL")

        with pytest.raises(CommandError, match=r"To begin again: rm -r \S+/dev$"):
            call_command("demo", "--exit", "--fresh")

        assert not DemoMark.objects.exists()

    def test_asks_for_an_empty_database_if_database_url_names_this_one(self, monkeypatch):
        monkeypatch.setenv("DATABASE_URL", "postgresql://db.example/credits")

        with pytest.raises(CommandError, match=r"To begin again: set DATABASE_URL to an empty database$"):
            call_command("demo", "--exit")
