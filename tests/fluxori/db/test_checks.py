"""Start-up checks of the database server."""

import pytest
from django.core.checks import run_checks
from django.db import connection

from tests.support.database import as_owner

pytestmark = pytest.mark.django_db


def messages(databases=("default",)):
    found = run_checks(tags=["database"], include_deployment_checks=True, databases=databases)
    return {(message.id, message.msg.partition(" and may")[0]) for message in found}


def ids(**options):
    return {identifier for identifier, _ in messages(**options)}


def set_local(name, value):
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {name} = {value}")


class TestDurability:
    def test_a_server_without_fsync_is_an_error(self):
        # The server of the tests runs without.
        assert ("database.E001", "The database server runs with fsync = off") in messages()

    @pytest.mark.parametrize(("value", "is_error"), [("off", True), ("on", False), ("remote_apply", False)])
    def test_synchronous_commit_must_wait_for_the_disk(self, value, is_error):
        set_local("synchronous_commit", value)

        assert any("synchronous_commit" in text for _, text in messages()) is is_error

    def test_no_database_is_asked_without_the_option(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert messages(databases=None) == set()

    def test_a_silenced_check_is_not_reported(self, settings):
        settings.SILENCED_SYSTEM_CHECKS = ["database.E001"]
        found = run_checks(tags=["database"], include_deployment_checks=True, databases=["default"])

        assert all(message.is_silenced() for message in found if message.id == "database.E001")


class TestRole:
    def test_the_owner_of_the_tables_is_reported(self):
        with as_owner():
            assert "database.W001" in ids()

    def test_the_owner_of_the_tables_is_an_error_in_production(self, settings):
        settings.PRODUCTION = True

        with as_owner():
            assert "database.E002" in ids()

    def test_a_role_that_owns_nothing_is_not_reported(self):
        with as_owner(), connection.cursor() as cursor:
            cursor.execute("CREATE ROLE fluxori_check_role")
            cursor.execute("SET LOCAL ROLE fluxori_check_role")

            assert not {"database.W001", "database.E002"} & ids()
