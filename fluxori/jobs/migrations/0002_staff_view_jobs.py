"""Lets every staff group view the jobs.

The migration also creates the permission itself, because Django creates it only after the last migration.
"""

from django.db import migrations

ROLES = ["support", "support lead", "finance", "auditor"]


def permit(apps, schema_editor):
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="procrastinate", model="procrastinatejob"
    )
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type,
        codename="view_procrastinatejob",
        defaults={"name": "Can view procrastinate job"},
    )
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0001_initial"),
        ("console", "0002_roles"),
        ("procrastinate", "0041_post_retry_failed_job"),
    ]
    operations = [migrations.RunPython(permit, migrations.RunPython.noop)]
