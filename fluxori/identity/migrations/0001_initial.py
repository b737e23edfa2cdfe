# Constraints and indexes stand in CreateModel where Django allows it: each separate operation makes migrate slower.

import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
import django.db.models.functions.text
import fluxori.core.clock
import fluxori.core.ids
import fluxori.identity.models
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='User',
            fields=[
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('email', fluxori.identity.models.LowerCaseEmailField(max_length=254, unique=True, verbose_name='e-mail')),
                ('role', models.CharField(choices=[('user', 'User'), ('admin', 'Administrator'), ('service', 'Service')], default='user', max_length=16)),
                ('external_id', models.CharField(blank=True, help_text='The id in another system.', max_length=255, null=True, unique=True, verbose_name='external id')),
                ('is_staff', models.BooleanField(default=False, verbose_name='may use the admin')),
                ('is_active', models.BooleanField(default=True, verbose_name='active')),
                ('created_at', models.DateTimeField(default=fluxori.core.clock.now, editable=False)),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('role__in', ['user', 'admin', 'service'])), name='identity_user_role_known'), models.CheckConstraint(condition=models.Q(('email', django.db.models.functions.text.Lower('email')), models.Q(('email', ''), _negated=True)), name='identity_user_email_lower_case'), models.CheckConstraint(condition=models.Q(('external_id', ''), _negated=True), name='identity_user_external_id_not_empty')],
            },
        ),
        migrations.CreateModel(
            name='Membership',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('role', models.CharField(choices=[('owner', 'Owner'), ('manager', 'Manager'), ('member', 'Member'), ('viewer', 'Viewer')], default='member', max_length=16)),
                ('created_at', models.DateTimeField(default=fluxori.core.clock.now, editable=False)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('role__in', ['owner', 'manager', 'member', 'viewer'])), name='identity_membership_role_known')],
            },
        ),
        migrations.CreateModel(
            name='Organization',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
                ('external_id', models.CharField(blank=True, help_text='The id in another system.', max_length=255, null=True, unique=True, verbose_name='external id')),
                ('created_at', models.DateTimeField(default=fluxori.core.clock.now, editable=False)),
                ('members', models.ManyToManyField(related_name='organizations', through='identity.Membership', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.search.SearchVector('name', config='simple'), name='identity_organization_words')],
                'constraints': [models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='identity_organization_name_not_empty'), models.CheckConstraint(condition=models.Q(('external_id', ''), _negated=True), name='identity_organization_external_id_not_empty')],
            },
        ),
        migrations.AddField(
            model_name='membership',
            name='organization',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to='identity.organization'),
        ),
        migrations.AddConstraint(
            model_name='membership',
            constraint=models.UniqueConstraint(fields=('organization', 'user'), name='identity_membership_once'),
        ),
    ]
