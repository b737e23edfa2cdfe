# Constraints and indexes stand in CreateModel where Django allows it: each separate operation makes migrate slower.

import django.core.validators
import django.db.models.deletion
import fluxori.core.ids
import pgtrigger.compiler
import pgtrigger.migrations
import simple_history.models
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('credits', '0001_initial'),
        ('identity', '__first__'),
    ]

    operations = [
        migrations.CreateModel(
            name='AllocationRun',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
                ('seen_at', models.DateTimeField(help_text='When the run last recorded its progress.')),
                ('at', models.DateTimeField(help_text='Periods that began by this instant are due.')),
                ('started_by', models.CharField(max_length=255)),
                ('status', models.CharField(choices=[('running', 'Running'), ('done', 'Done'), ('stopped', 'Stopped')], default='running', max_length=16)),
                ('due', models.BigIntegerField(default=0, help_text='Subscriptions that were due at the start of the run.')),
                ('subscriptions', models.BigIntegerField(default=0, help_text='Subscriptions processed so far.')),
                ('allocated', models.BigIntegerField(default=0)),
                ('skipped', models.BigIntegerField(default=0)),
                ('rejected', models.BigIntegerField(default=0)),
                ('credits', models.BigIntegerField(default=0)),
                ('rejections', models.JSONField(default=list, help_text='The first rejected subscriptions, each with the reason.')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='RecoveryCost',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('rand_per_credit', models.DecimalField(decimal_places=6, help_text='In rand.', max_digits=12, validators=[django.core.validators.MinValueValidator(Decimal('0'))])),
                ('effective_from', models.DateTimeField(unique=True)),
            ],
            options={
                'ordering': ['-effective_from'],
            },
        ),
        migrations.CreateModel(
            name='Subscription',
            fields=[
                ('balance', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='subscription', serialize=False, to='credits.creditbalance')),
                ('anchor', models.DateTimeField(help_text='When period 0 began.')),
                ('status', models.CharField(choices=[('active', 'Active'), ('cancelled', 'Cancelled')], default='active', max_length=16)),
                ('next_period', models.IntegerField(default=1)),
                ('next_allocation_at', models.DateTimeField()),
                ('scheduled_at', models.DateTimeField(blank=True, null=True)),
                ('changes', models.IntegerField(default=0)),
                ('created_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['-balance_id'],
            },
        ),
        migrations.CreateModel(
            name='Tier',
            fields=[
                ('code', models.CharField(help_text='Lower-case words joined by hyphens, for example explorer. The code never changes.', max_length=64, primary_key=True, serialize=False, validators=[django.core.validators.RegexValidator('^[a-z0-9]+(-[a-z0-9]+)*$', 'Lower-case words joined by hyphens.')])),
                ('name', models.CharField(max_length=100)),
                ('monthly_credits', models.BigIntegerField(help_text='Whole credits granted for each month.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000000000)])),
                ('price_min', models.DecimalField(decimal_places=2, help_text='In rand.', max_digits=12, validators=[django.core.validators.MinValueValidator(Decimal('0'))], verbose_name='lowest monthly price')),
                ('price_max', models.DecimalField(decimal_places=2, help_text='In rand.', max_digits=12, validators=[django.core.validators.MinValueValidator(Decimal('0'))], verbose_name='highest monthly price')),
                ('rollover', models.CharField(choices=[('unlimited', 'Unlimited: allocated credits do not expire'), ('capped', 'Capped: up to the cap, credits roll over when their period ends'), ('none', 'None: credits expire when their period ends')], default='unlimited', help_text='What becomes of the credits of a period that are not spent. A change applies to later grants only.', max_length=16)),
                ('rollover_cap_credits', models.BigIntegerField(blank=True, help_text='The most whole credits that may be rolled over at a time. If both caps are set, the smaller counts.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000000000)], verbose_name='cap in credits')),
                ('rollover_cap_percent', models.IntegerField(blank=True, help_text='The cap as a percentage of the monthly credits, rounded down.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000)], verbose_name='cap in percent')),
                ('rollover_months', models.IntegerField(blank=True, help_text='How many months after their period rolled-over credits expire. Leave empty for no expiry.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(120)], verbose_name='rollover months')),
                ('is_public', models.BooleanField(default=True, help_text='Whether the API lists the tier.', verbose_name='public')),
            ],
            options={
                'ordering': ['monthly_credits', 'code'],
                'constraints': [models.CheckConstraint(condition=models.Q(('monthly_credits__gte', 1), ('monthly_credits__lte', 1000000000000)), name='tiers_tier_credits_in_range'), models.CheckConstraint(condition=models.Q(('price_max__gte', models.F('price_min')), ('price_min__gte', 0)), name='tiers_tier_price_range_valid'), models.CheckConstraint(condition=models.Q(('rollover__in', ['unlimited', 'capped', 'none'])), name='tiers_tier_rollover_valid'), models.CheckConstraint(condition=models.Q(models.Q(('rollover', 'capped'), models.Q(('rollover_cap_credits__isnull', False), ('rollover_cap_percent__isnull', False), _connector='OR')), models.Q(models.Q(('rollover', 'capped'), _negated=True), ('rollover_cap_credits__isnull', True), ('rollover_cap_percent__isnull', True), ('rollover_months__isnull', True)), _connector='OR'), name='tiers_tier_caps_match_policy'), models.CheckConstraint(condition=models.Q(models.Q(('rollover_cap_credits__isnull', True), models.Q(('rollover_cap_credits__gte', 1), ('rollover_cap_credits__lte', 1000000000000)), _connector='OR'), models.Q(('rollover_cap_percent__isnull', True), models.Q(('rollover_cap_percent__gte', 1), ('rollover_cap_percent__lte', 1000)), _connector='OR'), models.Q(('rollover_months__isnull', True), models.Q(('rollover_months__gte', 1), ('rollover_months__lte', 120)), _connector='OR')), name='tiers_tier_caps_in_range')],
            },
        ),
        migrations.CreateModel(
            name='TierChange',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('number', models.IntegerField()),
                ('period', models.IntegerField()),
                ('at', models.DateTimeField()),
                ('high_credits', models.BigIntegerField()),
                ('credits', models.BigIntegerField(default=0)),
            ],
            options={
                'ordering': ['-balance_id', '-number'],
                'constraints': [models.CheckConstraint(condition=models.Q(('number__gte', 1), ('period__gte', 0)), name='tiers_change_numbers_in_range'), models.CheckConstraint(condition=models.Q(('credits__lte', models.F('high_credits')), ('high_credits__gte', 1)), name='tiers_change_credits_within_high')],
            },
        ),
        migrations.CreateModel(
            name='HistoricalRecoveryCost',
            fields=[
                ('id', models.UUIDField(db_index=True, default=fluxori.core.ids.uuid7, editable=False)),
                ('rand_per_credit', models.DecimalField(decimal_places=6, help_text='In rand.', max_digits=12, validators=[django.core.validators.MinValueValidator(Decimal('0'))])),
                ('effective_from', models.DateTimeField(db_index=True)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical recovery cost',
                'verbose_name_plural': 'historical recovery costs',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalTier',
            fields=[
                ('code', models.CharField(db_index=True, help_text='Lower-case words joined by hyphens, for example explorer. The code never changes.', max_length=64, validators=[django.core.validators.RegexValidator('^[a-z0-9]+(-[a-z0-9]+)*$', 'Lower-case words joined by hyphens.')])),
                ('name', models.CharField(max_length=100)),
                ('monthly_credits', models.BigIntegerField(help_text='Whole credits granted for each month.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000000000)])),
                ('price_min', models.DecimalField(decimal_places=2, help_text='In rand.', max_digits=12, validators=[django.core.validators.MinValueValidator(Decimal('0'))], verbose_name='lowest monthly price')),
                ('price_max', models.DecimalField(decimal_places=2, help_text='In rand.', max_digits=12, validators=[django.core.validators.MinValueValidator(Decimal('0'))], verbose_name='highest monthly price')),
                ('rollover', models.CharField(choices=[('unlimited', 'Unlimited: allocated credits do not expire'), ('capped', 'Capped: up to the cap, credits roll over when their period ends'), ('none', 'None: credits expire when their period ends')], default='unlimited', help_text='What becomes of the credits of a period that are not spent. A change applies to later grants only.', max_length=16)),
                ('rollover_cap_credits', models.BigIntegerField(blank=True, help_text='The most whole credits that may be rolled over at a time. If both caps are set, the smaller counts.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000000000)], verbose_name='cap in credits')),
                ('rollover_cap_percent', models.IntegerField(blank=True, help_text='The cap as a percentage of the monthly credits, rounded down.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000)], verbose_name='cap in percent')),
                ('rollover_months', models.IntegerField(blank=True, help_text='How many months after their period rolled-over credits expire. Leave empty for no expiry.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(120)], verbose_name='rollover months')),
                ('is_public', models.BooleanField(default=True, help_text='Whether the API lists the tier.', verbose_name='public')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical tier',
                'verbose_name_plural': 'historical tiers',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='MonthlyAllocation',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('period', models.IntegerField()),
                ('credits', models.BigIntegerField()),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
                ('allocated_at', models.DateTimeField()),
                ('balance', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='allocations', to='credits.creditbalance')),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='allocations', to='tiers.allocationrun')),
                ('transaction', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='allocations', to='credits.credittransaction')),
            ],
            options={
                'ordering': ['-balance_id', '-period'],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='recoverycost',
            trigger=pgtrigger.compiler.Trigger(name='cost_immutable_once_effective', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.effective_from <= now())', func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='de8bae25bfabe93daccb74fe971450b077687404', operation='UPDATE OR DELETE', pgid='pgtrigger_cost_immutable_once_effective_09dd8', table='tiers_recoverycost', when='BEFORE')),
        ),
        migrations.AddField(
            model_name='subscription',
            name='scheduled_tier',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tiers.tier'),
        ),
        migrations.AddField(
            model_name='subscription',
            name='tier',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='subscriptions', to='tiers.tier'),
        ),
        migrations.AddField(
            model_name='monthlyallocation',
            name='tier',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tiers.tier'),
        ),
        migrations.AddField(
            model_name='allocationrun',
            name='tier',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tiers.tier'),
        ),
        migrations.AddField(
            model_name='tierchange',
            name='balance',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='tier_changes', to='credits.creditbalance'),
        ),
        migrations.AddField(
            model_name='tierchange',
            name='from_tier',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tiers.tier'),
        ),
        migrations.AddField(
            model_name='tierchange',
            name='to_tier',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tiers.tier'),
        ),
        migrations.AddField(
            model_name='tierchange',
            name='transaction',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='tier_changes', to='credits.credittransaction'),
        ),
        migrations.AddIndex(
            model_name='subscription',
            index=models.Index(condition=models.Q(('status', 'active')), fields=['balance', 'next_allocation_at'], name='tiers_subscription_due'),
        ),
        migrations.AddConstraint(
            model_name='subscription',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['active', 'cancelled'])), name='tiers_subscription_status_valid'),
        ),
        migrations.AddConstraint(
            model_name='subscription',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('scheduled_at__isnull', True), ('scheduled_tier__isnull', True)), models.Q(('scheduled_at__isnull', False), ('scheduled_tier__isnull', False)), _connector='OR'), name='tiers_subscription_schedule_complete'),
        ),
        migrations.AddConstraint(
            model_name='subscription',
            constraint=models.CheckConstraint(condition=models.Q(('next_allocation_at__gt', models.F('anchor')), ('next_period__gte', 1)), name='tiers_subscription_next_after_anchor'),
        ),
        migrations.AddConstraint(
            model_name='subscription',
            constraint=models.CheckConstraint(condition=models.Q(('changes__gte', 0)), name='tiers_subscription_changes_not_negative'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='subscription',
            trigger=pgtrigger.compiler.Trigger(name='subscription_anchor_immutable', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."anchor" IS DISTINCT FROM (NEW."anchor") OR OLD."balance_id" IS DISTINCT FROM (NEW."balance_id") OR OLD."created_at" IS DISTINCT FROM (NEW."created_at"))', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='cdc631cffae5c7c516d346dcc7e0c2f2d0c3c1f8', operation='UPDATE', pgid='pgtrigger_subscription_anchor_immutable_87334', table='tiers_subscription', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='subscription',
            trigger=pgtrigger.compiler.Trigger(name='subscription_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;", hash='47705b6639ac1a7b5bf75d2734cff16c32ef8913', operation='DELETE', pgid='pgtrigger_subscription_forbid_57a0a', table='tiers_subscription', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='subscription',
            trigger=pgtrigger.compiler.Trigger(name='subscription_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='4fa85ddf005a8cf46749b9b1951a9079f206c204', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_subscription_forbid_truncate_c56c2', table='tiers_subscription', when='BEFORE')),
        ),
        migrations.AddIndex(
            model_name='monthlyallocation',
            index=models.Index(condition=models.Q(('run__isnull', False)), fields=['run', 'id'], name='tiers_allocation_admin_run'),
        ),
        migrations.AddConstraint(
            model_name='monthlyallocation',
            constraint=models.UniqueConstraint(fields=('balance', 'period'), name='tiers_allocation_unique_period'),
        ),
        migrations.AddConstraint(
            model_name='monthlyallocation',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('starts_at')), ('period__gte', 0)), name='tiers_allocation_period_valid'),
        ),
        migrations.AddConstraint(
            model_name='monthlyallocation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('credits__gt', 0), ('transaction__isnull', False)), models.Q(('credits', 0), ('transaction__isnull', True)), _connector='OR'), name='tiers_allocation_credits_have_transaction'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='monthlyallocation',
            trigger=pgtrigger.compiler.Trigger(name='allocation_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='5efbe91aa9eda862c1bab1adb4e48fdc8e831be1', operation='UPDATE OR DELETE', pgid='pgtrigger_allocation_forbid_522ba', table='tiers_monthlyallocation', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='monthlyallocation',
            trigger=pgtrigger.compiler.Trigger(name='allocation_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='296316e0a907cfbda1652fa31c8ae67c5355c8e6', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_allocation_forbid_truncate_2e2f7', table='tiers_monthlyallocation', when='BEFORE')),
        ),
        migrations.AddConstraint(
            model_name='allocationrun',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['running', 'done', 'stopped'])), name='tiers_run_status_valid'),
        ),
        migrations.AddConstraint(
            model_name='tierchange',
            constraint=models.UniqueConstraint(fields=('balance', 'number'), name='tiers_change_unique_number'),
        ),
        migrations.AddConstraint(
            model_name='tierchange',
            constraint=models.CheckConstraint(condition=models.Q(('from_tier', models.F('to_tier')), _negated=True), name='tiers_change_tiers_differ'),
        ),
        migrations.AddConstraint(
            model_name='tierchange',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('credits__gt', 0), ('transaction__isnull', False)), models.Q(('credits', 0), ('transaction__isnull', True)), _connector='OR'), name='tiers_change_credits_have_transaction'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='tierchange',
            trigger=pgtrigger.compiler.Trigger(name='change_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='376310c3a9bfdcc8c096dc337ca9147cca713752', operation='UPDATE OR DELETE', pgid='pgtrigger_change_forbid_d452d', table='tiers_tierchange', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='tierchange',
            trigger=pgtrigger.compiler.Trigger(name='change_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='5783a79f72fd611fed8630c551b32508b18c4ddb', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_change_forbid_truncate_25a25', table='tiers_tierchange', when='BEFORE')),
        ),
    ]
