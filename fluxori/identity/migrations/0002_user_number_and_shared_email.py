"""Number users in the order of their commits, and store whether the organization knows the e-mail of a member."""

from django.db import migrations, models

from fluxori.db.migration_sql import run_sql_file


class Migration(migrations.Migration):
    dependencies = [("identity", "0001_initial")]
    operations = [
        migrations.RunSQL("CREATE SEQUENCE identity_user_number", "DROP SEQUENCE identity_user_number"),
        migrations.AddField(
            model_name="user",
            name="number",
            field=models.BigIntegerField(
                db_default=models.Func(models.Value("identity_user_number"), function="nextval"),
                editable=False,
                unique=True,
            ),
        ),
        run_sql_file(__file__, "user_number"),
        migrations.AddField(
            model_name="membership",
            name="email_is_shared",
            field=models.BooleanField(
                default=True,
                editable=False,
                help_text="Whether the other members see the e-mail: the owner who added the member gave it.",
            ),
        ),
    ]
