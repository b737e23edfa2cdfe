"""The privileges of the application's role: enough to work, not enough to change history or definitions."""

import json
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction

from credits import operations, queries
from credits.queries import usage
from fluxori.db.jobs import defer
from fluxori.db.privileges import OPERATIONS, privileges_of
from tests.support.database import as_owner
from tests.support.factories.credits import make_balance
from tests.support.times import DAY, NOON
from tiers import operations as tiers

MODELS = {model._meta.db_table: model for model in apps.get_models(include_auto_created=True)}
WRITTEN_ONCE = {
    "credits_creditentry",
    "credits_creditpin",
    "credits_creditrequest",
    "credits_credittransaction",
    "credits_historicalfeature",
    "credits_historicalfeatureprice",
    "console_historicalmanualcreditceiling",
    "console_staffaction",
    "tiers_historicalrecoverycost",
    "tiers_historicaltier",
    "tiers_monthlyallocation",
    "tiers_pastsubscription",
    "tiers_tierchange",
}
NEVER_DELETED = {
    "console_approvalrequest",
    "credits_creditbalance",
    "credits_creditgrant",
    "credits_credithold",
    "credits_spendinglimit",
    "tiers_subscription",
}
READ_ONLY = {"credits_balancerepair", "credits_ledgeridentity"}


@pytest.fixture
def role(db):
    """Create a role for the application. The rollback of the test removes it."""
    with as_owner():
        run("CREATE ROLE clerk")
        yield "clerk"


@pytest.fixture
def application(role):
    """Use the role of the application during the test."""
    grant(role)
    run(f"SET LOCAL ROLE {role}")


def run(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def grant(role, *arguments):
    out = StringIO()
    call_command("grant_privileges", role, *arguments, stdout=out)
    return out.getvalue()


def rejection(role):
    with pytest.raises(CommandError) as error, transaction.atomic():
        grant(role)
    assert error.value.returncode == 1
    assert "\n" not in str(error.value)
    return str(error.value)


def is_denied(statement: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except ProgrammingError as error:
        return getattr(error.__cause__, "sqlstate", None) == "42501"  # insufficient privilege
    return False


class TestPrivilegesOfModels:
    def test_are_those_that_the_triggers_do_not_reject(self):
        by_privileges: dict[tuple[str, ...], set[str]] = {}
        for table, model in MODELS.items():
            by_privileges.setdefault(privileges_of(model), set()).add(table)

        assert by_privileges[("SELECT",)] == READ_ONLY
        assert by_privileges[("SELECT", "INSERT")] == WRITTEN_ONCE
        assert by_privileges[("SELECT", "INSERT", "UPDATE")] == NEVER_DELETED
        assert by_privileges[OPERATIONS] == MODELS.keys() - READ_ONLY - WRITTEN_ONCE - NEVER_DELETED


@pytest.mark.usefixtures("application")
class TestApplication:
    def test_can_subscribe_allocate_deduct_and_aggregate(self):
        balance = make_balance()

        tiers.initialize_balance(owner=balance.owner, tier="explorer", initial_balance=100, at=NOON)
        tiers.add_monthly_allocation(owner=balance.owner, at=NOON)
        tiers.update_subscription_tier(owner=balance.owner, tier="growth", at=NOON)
        operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", idempotency_key="once", at=NOON)

        assert operations.aggregate_usage(balance_ids=[balance.pk], most=9) == {balance.pk: 4}

        assert queries.get_balance(owner=balance.owner).balance == 100 + 100 + 300 - 9
        assert usage.get_usage(owner=balance.owner, at=NOON + DAY).total.used == 9

    def test_can_add_run_repeat_and_remove_jobs(self):
        job = defer("expire_credits", arguments={"timestamp": 0})
        [(worker,)] = run("SELECT worker_id FROM procrastinate_register_worker_v1()")
        run("SELECT procrastinate_update_heartbeat_v1(%s)", worker)

        assert run("SELECT id, status FROM procrastinate_fetch_job_v2(NULL, %s)", worker) == [(job, "doing")]
        run("SELECT procrastinate_retry_job_v2(%s, now(), NULL, NULL, NULL)", job)
        assert run("SELECT id FROM procrastinate_fetch_job_v2(NULL, %s)", worker) == [(job,)]
        run("SELECT procrastinate_finish_job_v1(%s, 'succeeded', true)", job)
        run("SELECT procrastinate_unregister_worker_v1(%s)", worker)

        assert run("SELECT procrastinate_defer_periodic_job_v2('q', NULL, NULL, 't', 0, '', 300, '{}')") != [(None,)]
        assert run("SELECT procrastinate_defer_periodic_job_v2('q', NULL, NULL, 't', 0, '', 300, '{}')") == [(None,)]

    def test_has_no_privilege_on_any_table_that_its_model_does_not_declare(self):
        tables = [name for (name,) in run("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")]
        assert MODELS.keys() <= set(tables)
        for table in tables:
            allowed = privileges_of(MODELS[table]) if table in MODELS else ("SELECT",)
            for operation in (*OPERATIONS, "TRUNCATE", "REFERENCES", "TRIGGER"):
                [(held,)] = run("SELECT has_table_privilege(%s, %s)", table, operation)

                assert held == (operation in allowed), (table, operation)

    @pytest.mark.parametrize("table", sorted(WRITTEN_ONCE | READ_ONLY))
    def test_cannot_update_what_is_written_once(self, table):
        assert is_denied(f"UPDATE {table} SET {MODELS[table]._meta.pk.column} = {MODELS[table]._meta.pk.column}")

    @pytest.mark.parametrize("table", sorted(WRITTEN_ONCE | NEVER_DELETED | READ_ONLY))
    def test_cannot_delete_or_truncate_what_is_kept(self, table):
        assert is_denied(f"DELETE FROM {table}")
        assert is_denied(f"TRUNCATE {table} CASCADE")

    @pytest.mark.parametrize(
        "statement",
        [
            "ALTER TABLE credits_credittransaction DISABLE TRIGGER ALL",
            "DROP TABLE credits_creditpin",
            "CREATE TABLE note (id int)",
            "CREATE FUNCTION one() RETURNS int LANGUAGE sql RETURN 1",
            "DROP FUNCTION credits_hash_micros(timestamptz) CASCADE",
            "SET session_replication_role = replica",
            "INSERT INTO django_migrations (app, name, applied) VALUES ('a', 'b', now())",
        ],
    )
    def test_cannot_change_definitions(self, statement):
        assert is_denied(statement)


class TestGrantPrivileges:
    def test_prints_the_privileges_of_every_table(self, role):
        lines = grant(role).splitlines()

        assert "credits_credittransaction: SELECT, INSERT" in lines
        assert "django_migrations: SELECT" in lines
        assert lines[-1].startswith("Granted to clerk on ")

    def test_prints_json(self, role):
        report = json.loads(grant(role, "--json"))

        assert report["role"] == role
        assert report["tables"]["credits_creditgrant"] == ["SELECT", "INSERT", "UPDATE"]

    def test_is_repeatable_and_revokes_what_was_granted_otherwise(self, role):
        grant(role)
        run("GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk")

        grant(role)

        assert run("SELECT has_table_privilege('clerk', 'credits_creditentry', 'UPDATE')") == [(False,)]

    def test_a_table_without_a_model_can_only_be_read(self, role):
        run("CREATE TABLE note (id int)")

        assert "note: SELECT" in grant(role).splitlines()

    def test_rejects_a_role_that_does_not_exist(self, role):
        assert rejection("nobody").startswith("There is no role nobody. ")

    def test_rejects_the_owner_and_its_members(self, role):
        [(owner,)] = run("SELECT current_user")
        assert "can act as the owner of " in rejection(owner)

        run(f"GRANT {owner} TO clerk")

        assert "can act as the owner of " in rejection(role)

    def test_rejects_a_superuser(self, role):
        run("ALTER ROLE clerk SUPERUSER")

        assert "can act as the owner of " in rejection(role)

    def test_rejects_privileges_that_the_role_inherits(self, role):
        run("GRANT UPDATE ON credits_creditentry TO PUBLIC")
        assert rejection(role) == "The role clerk inherits UPDATE on credits_creditentry; revoke that first."
        run("REVOKE UPDATE ON credits_creditentry FROM PUBLIC")

        run("GRANT CREATE ON SCHEMA public TO PUBLIC")

        assert rejection(role) == "The role clerk inherits CREATE on the schema; revoke that first."

    def test_rejects_a_current_role_that_does_not_own_the_tables(self, role):
        run("CREATE ROLE other")
        run("SET LOCAL ROLE other")

        assert "run this as the owner of the tables" in rejection(role)

    def test_quotes_the_name_of_the_role(self, role):
        run('CREATE ROLE "of the application"')

        assert "Granted to of the application on " in grant("of the application")
