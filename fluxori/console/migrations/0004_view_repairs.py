"""Lets every staff group see the repairs of balances, like the rest of the ledger.

The migration also creates the permission, because Django creates it only after the last migration.
"""

from django.db import migrations

ROLES = ["support", "support lead", "finance", "auditor"]


def seed(apps, schema_editor):
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="credits", model="balancerepair"
    )
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type, codename="view_balancerepair", defaults={"name": "Can view balance repair"}
    )
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [("console", "0003_proposed_ceilings"), ("credits", "0005_balance_repair")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
