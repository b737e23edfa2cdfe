# Constraints and indexes stand in CreateModel where Django allows it: each separate operation makes migrate slower.

import django.core.validators
import django.db.models.deletion
import fluxori.core.ids
import pgtrigger.compiler
import pgtrigger.migrations
import simple_history.models
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('credits', '0001_initial'),
        ('identity', '0001_initial'),
        ('identity', '__first__'),
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
            name='ApprovalRequest',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('action', models.CharField(max_length=32)),
                ('arguments', models.JSONField(help_text='The arguments of the staff action.')),
                ('credits', models.BigIntegerField(help_text='The credits that the action would have given at the time of request.')),
                ('reason', models.CharField(choices=[('goodwill', 'Goodwill'), ('correction', 'Correction of a mistake'), ('outage', 'Outage or failed work'), ('chargeback', 'Chargeback'), ('fraud', 'Fraud'), ('migration', 'Migration'), ('contract', 'Change of contract'), ('other', 'Other')], max_length=16)),
                ('note', models.TextField(max_length=1000)),
                ('ticket', models.CharField(max_length=64)),
                ('idempotency_key', models.CharField(max_length=255)),
                ('requested_at', models.DateTimeField()),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('approved', 'Approved'), ('declined', 'Declined'), ('withdrawn', 'Withdrawn')], default='pending', max_length=16)),
                ('decided_at', models.DateTimeField(null=True)),
                ('decision_note', models.TextField(default='', max_length=1000)),
                ('decided_by', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organization', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='identity.organization')),
                ('requested_by', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('user', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'approval request',
                'verbose_name_plural': 'approval requests',
                'ordering': ['-id'],
                'permissions': [('approve_requests', 'Can approve and decline requests of others')],
                'indexes': [models.Index(fields=['-requested_at', '-id'], name='console_request_by_time'), models.Index(condition=models.Q(('status', 'pending')), fields=['id'], name='console_request_pending')],
                'constraints': [models.UniqueConstraint(fields=('requested_by', 'idempotency_key'), name='console_request_unique_key'), models.CheckConstraint(condition=models.Q(models.Q(('organization__isnull', True), ('user__isnull', False)), models.Q(('organization__isnull', False), ('user__isnull', True)), _connector='OR'), name='console_request_one_owner'), models.CheckConstraint(condition=models.Q(models.Q(('decided_at__isnull', True), ('decided_by__isnull', True), ('status', 'pending')), models.Q(('decided_by__isnull', False), ('status__in', ['approved', 'declined', 'withdrawn']), ('decided_at__isnull', False)), _connector='OR'), name='console_request_decision_complete'), models.CheckConstraint(condition=models.Q(models.Q(('status__in', ['approved', 'declined']), _negated=True), models.Q(('decided_by', models.F('requested_by')), _negated=True), _connector='OR'), name='console_request_not_decided_by_requester')],
            },
        ),
        migrations.CreateModel(
            name='DashboardSnapshot',
            fields=[
                ('id', models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('taken_at', models.DateTimeField()),
                ('tiers', models.JSONField(help_text='The number of balances on each tier, and of those without a tier.')),
                ('running_out', models.JSONField(help_text='The balances that run out first, at the rate of the last thirty days.')),
                ('late', models.JSONField(help_text='The number of overdue monthly allocations, and the time of the oldest.')),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='console_dashboardsnapshot_single_row')],
            },
        ),
        migrations.CreateModel(
            name='HistoricalManualCreditCeiling',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('per_action', models.BigIntegerField(help_text='A staff action that gives more needs the approval of a second person.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1000000000000)], verbose_name='credits per action')),
                ('per_day', models.BigIntegerField(help_text='The total for one person from midnight to midnight UTC. It includes the requests that they approve.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1000000000000)], verbose_name='credits per day')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('group', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='auth.group')),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical ceiling',
                'verbose_name_plural': 'historical ceilings',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='ManualCreditCeiling',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('per_action', models.BigIntegerField(help_text='A staff action that gives more needs the approval of a second person.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1000000000000)], verbose_name='credits per action')),
                ('per_day', models.BigIntegerField(help_text='The total for one person from midnight to midnight UTC. It includes the requests that they approve.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1000000000000)], verbose_name='credits per day')),
                ('group', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='credit_ceiling', to='auth.group')),
            ],
            options={
                'verbose_name': 'ceiling',
                'verbose_name_plural': 'ceilings',
                'ordering': ['group__name'],
                'constraints': [models.CheckConstraint(condition=models.Q(('per_action__gte', 0), ('per_action__lte', 1000000000000), ('per_day__gte', 0), ('per_day__lte', 1000000000000)), name='console_ceiling_in_bounds')],
            },
        ),
        migrations.CreateModel(
            name='SavedFilter',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('model_label', models.CharField(help_text='The model of the list, like credits.creditgrant.', max_length=100)),
                ('name', models.CharField(max_length=60)),
                ('query', models.CharField(max_length=2000)),
                ('shared', models.BooleanField(default=False)),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'default_permissions': (),
                'indexes': [models.Index(fields=['model_label'], name='console_filter_by_list')],
                'constraints': [models.UniqueConstraint(fields=('owner', 'model_label', 'name'), name='console_filter_unique_name'), models.CheckConstraint(condition=models.Q(models.Q(('name', ''), _negated=True), models.Q(('query', ''), _negated=True)), name='console_filter_not_empty')],
            },
        ),
        migrations.CreateModel(
            name='StaffAction',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField()),
                ('action', models.CharField(max_length=32)),
                ('arguments', models.JSONField()),
                ('reason', models.CharField(choices=[('goodwill', 'Goodwill'), ('correction', 'Correction of a mistake'), ('outage', 'Outage or failed work'), ('chargeback', 'Chargeback'), ('fraud', 'Fraud'), ('migration', 'Migration'), ('contract', 'Change of contract'), ('other', 'Other')], max_length=16)),
                ('note', models.TextField(max_length=1000)),
                ('ticket', models.CharField(max_length=64)),
                ('summary', models.CharField(help_text='What was done, in one sentence.', max_length=500)),
                ('before', models.JSONField(help_text='The balance before the action: whole credits, tier, suspension and limits.')),
                ('after', models.JSONField(help_text='The balance after the action.')),
                ('credits', models.BigIntegerField(default=0)),
                ('idempotency_key', models.CharField(max_length=255)),
                ('request_id', models.CharField(max_length=128)),
                ('actor', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('approval_request', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='staff_action', to='console.approvalrequest')),
                ('approver', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('authority', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('balance', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='staff_actions', to='credits.creditbalance')),
                ('subject_grant', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='credits.creditgrant')),
                ('subject_hold', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='credits.credithold')),
                ('subject_limit', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='credits.spendinglimit')),
                ('subject_transaction', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='credits.credittransaction')),
                ('transaction', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='staff_actions', to='credits.credittransaction')),
            ],
            options={
                'verbose_name': 'staff action',
                'verbose_name_plural': 'staff actions',
                'ordering': ['-id'],
                'permissions': [('add_credits', 'Can add credits to a balance'), ('adjust_credits', 'Can adjust a balance up or down'), ('refund_usage', 'Can refund usage'), ('reverse_purchase', 'Can reverse a purchase'), ('void_grant', 'Can void a grant'), ('extend_grant', 'Can extend a grant'), ('release_hold', 'Can release a hold'), ('change_tier', 'Can change the tier of a balance'), ('allocate_month', 'Can allocate the month of a balance'), ('limit_spending', 'Can set and remove limits of a balance'), ('suspend_spending', 'Can suspend and resume the spending of a balance'), ('export_csv', 'Can export lists as CSV'), ('view_value', 'Can see amounts in rand')],
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['-created_at', '-id'], name='console_action_by_time'), models.Index(fields=['balance', '-id'], name='console_action_by_balance'), models.Index(fields=['actor', '-id'], name='console_action_by_actor'), models.Index(condition=models.Q(('ticket', ''), _negated=True), fields=['ticket'], name='console_action_by_ticket'), models.Index(condition=models.Q(('credits__gt', 0)), fields=['authority', 'created_at'], name='console_action_given')],
                'constraints': [models.UniqueConstraint(fields=('balance', 'actor', 'idempotency_key'), name='console_action_unique_key'), models.CheckConstraint(condition=models.Q(('credits__gte', 0)), name='console_action_credits_not_negative'), models.CheckConstraint(condition=models.Q(models.Q(('approval_request__isnull', True), ('approver__isnull', True), ('authority', models.F('actor'))), models.Q(('approval_request__isnull', False), ('approver__isnull', False), ('authority', models.F('approver')), models.Q(('approver', models.F('actor')), _negated=True)), _connector='OR'), name='console_action_approved_by_another')],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='approvalrequest',
            trigger=pgtrigger.compiler.Trigger(name='request_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;", hash='2b99106206864c58483c1ab2f1d447e3bc1b1736', operation='DELETE', pgid='pgtrigger_request_forbid_33900', table='console_approvalrequest', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='approvalrequest',
            trigger=pgtrigger.compiler.Trigger(name='request_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='355a6cf8c70d0391459352ec635d591f737d143a', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_request_forbid_truncate_a1f2e', table='console_approvalrequest', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='approvalrequest',
            trigger=pgtrigger.compiler.Trigger(name='request_immutable_columns', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."action" IS DISTINCT FROM (NEW."action") OR OLD."arguments" IS DISTINCT FROM (NEW."arguments") OR OLD."credits" IS DISTINCT FROM (NEW."credits") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."idempotency_key" IS DISTINCT FROM (NEW."idempotency_key") OR OLD."note" IS DISTINCT FROM (NEW."note") OR OLD."organization_id" IS DISTINCT FROM (NEW."organization_id") OR OLD."reason" IS DISTINCT FROM (NEW."reason") OR OLD."requested_at" IS DISTINCT FROM (NEW."requested_at") OR OLD."requested_by_id" IS DISTINCT FROM (NEW."requested_by_id") OR OLD."ticket" IS DISTINCT FROM (NEW."ticket") OR OLD."user_id" IS DISTINCT FROM (NEW."user_id"))', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='964f1e6806f2baa61708f40000a16d9bd95bec43', operation='UPDATE', pgid='pgtrigger_request_immutable_columns_c5b8e', table='console_approvalrequest', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='approvalrequest',
            trigger=pgtrigger.compiler.Trigger(name='request_decision_is_final', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (OLD.status <> 'pending')", func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='154fe56a2c8b8812ea47d8523ac029c94526bf61', operation='UPDATE', pgid='pgtrigger_request_decision_is_final_7b6a6', table='console_approvalrequest', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='staffaction',
            trigger=pgtrigger.compiler.Trigger(name='action_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='8782fcc942840cba74c2a4c2a7ea107ba4b73912', operation='UPDATE OR DELETE', pgid='pgtrigger_action_forbid_0499f', table='console_staffaction', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='staffaction',
            trigger=pgtrigger.compiler.Trigger(name='action_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='2ca4a177b7fcd1335d3cfce899a7fdd0dadcb0b5', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_action_forbid_truncate_03c6e', table='console_staffaction', when='BEFORE')),
        ),
    ]
