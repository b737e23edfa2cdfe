"""Store one-time tokens and failed logins, number the sessions of a user, and protect the last administrator."""

import django.db.models.deletion
import fluxori.core.ids
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models

from fluxori.db.migration_sql import run_sql_file


class Migration(migrations.Migration):

    dependencies = [
        ('identity', '0004_organization_is_active'),
    ]

    operations = [
        migrations.CreateModel(
            name='LoginFailures',
            fields=[
                ('name', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('failures', models.IntegerField()),
                ('last_at', models.DateTimeField(db_index=True)),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='OneTimeToken',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('purpose', models.CharField(choices=[('password_reset', 'Password reset'), ('invitation', 'Invitation'), ('email_change', 'Change of e-mail')], max_length=16)),
                ('digest', models.CharField(max_length=64, unique=True)),
                ('email', models.CharField(max_length=254, null=True)),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('used_at', models.DateTimeField(null=True)),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.AddField(
            model_name='user',
            name='session_generation',
            field=models.BigIntegerField(default=0, editable=False),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='user',
            trigger=pgtrigger.compiler.Trigger(name='user_sessions_end', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.session_generation < OLD.session_generation OR OLD.password IS DISTINCT FROM NEW.password OR (OLD.is_active AND NOT NEW.is_active))', func='NEW.session_generation = OLD.session_generation + CASE WHEN OLD.password IS DISTINCT FROM NEW.password OR (OLD.is_active AND NOT NEW.is_active) THEN 1 ELSE 0 END; RETURN NEW;', hash='7747274218910408bd0dda80e53d40684ab431f7', operation='UPDATE', pgid='pgtrigger_user_sessions_end_fece4', table='identity_user', when='BEFORE')),
        ),
        migrations.AddField(
            model_name='onetimetoken',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='one_time_tokens', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='onetimetoken',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('email__isnull', False), ('purpose', 'email_change')), models.Q(('email__isnull', True), ('purpose__in', ['password_reset', 'invitation'])), _connector='OR'), name='identity_one_time_token_email_of_change'),
        ),
        run_sql_file(__file__, 'last_admin'),
    ]
