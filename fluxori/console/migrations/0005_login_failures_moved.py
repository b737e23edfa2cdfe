"""Failed logins are counted for the API too: ``identity.LoginFailures``."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('console', '0004_view_repairs'),
    ]

    operations = [
        migrations.DeleteModel(
            name='LoginFailures',
        ),
    ]
