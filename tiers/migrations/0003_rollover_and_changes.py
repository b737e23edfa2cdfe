import django.core.validators
import django.db.models.deletion
import fluxori.kernel.ids
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('credits', '0003_credit_entries'),
        ('tiers', '0002_seed_tiers'),
    ]

    operations = [
        migrations.CreateModel(
            name='TierChange',
            fields=[
                ('id', models.UUIDField(default=fluxori.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('number', models.IntegerField()),
                ('period', models.IntegerField()),
                ('at', models.DateTimeField()),
                ('high_credits', models.BigIntegerField()),
                ('credits', models.BigIntegerField(default=0)),
            ],
            options={
                'ordering': ['-balance_id', '-number'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='subscription',
            name='tiers_subscription_high_counts',
        ),
        migrations.RemoveConstraint(
            model_name='tier',
            name='tiers_tier_rollover_known',
        ),
        migrations.RemoveField(
            model_name='subscription',
            name='high_credits',
        ),
        migrations.RemoveField(
            model_name='subscription',
            name='high_period',
        ),
        migrations.RemoveField(
            model_name='subscription',
            name='prorated_credits',
        ),
        migrations.AddField(
            model_name='historicaltier',
            name='rollover_cap_credits',
            field=models.BigIntegerField(blank=True, help_text='The most whole credits that may be rolled over at a time. Of two caps the smaller counts.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000000000)], verbose_name='cap in credits'),
        ),
        migrations.AddField(
            model_name='historicaltier',
            name='rollover_cap_percent',
            field=models.IntegerField(blank=True, help_text='The same as a share of the monthly credits, rounded down.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000)], verbose_name='cap in percent'),
        ),
        migrations.AddField(
            model_name='historicaltier',
            name='rollover_months',
            field=models.IntegerField(blank=True, help_text='Months from the end of their period; for ever where nothing stands.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(120)], verbose_name='rolled credits last'),
        ),
        migrations.AddField(
            model_name='subscription',
            name='changes',
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name='tier',
            name='rollover_cap_credits',
            field=models.BigIntegerField(blank=True, help_text='The most whole credits that may be rolled over at a time. Of two caps the smaller counts.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000000000)], verbose_name='cap in credits'),
        ),
        migrations.AddField(
            model_name='tier',
            name='rollover_cap_percent',
            field=models.IntegerField(blank=True, help_text='The same as a share of the monthly credits, rounded down.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000)], verbose_name='cap in percent'),
        ),
        migrations.AddField(
            model_name='tier',
            name='rollover_months',
            field=models.IntegerField(blank=True, help_text='Months from the end of their period; for ever where nothing stands.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(120)], verbose_name='rolled credits last'),
        ),
        migrations.AlterField(
            model_name='historicaltier',
            name='rollover',
            field=models.CharField(choices=[('unlimited', 'Unlimited: allocated credits stay'), ('capped', 'Capped: up to the cap they roll over when their period ends'), ('none', "None: a period's credits expire when it ends")], default='unlimited', help_text="What becomes of a period's unspent credits. A change touches later grants only.", max_length=16),
        ),
        migrations.AlterField(
            model_name='tier',
            name='rollover',
            field=models.CharField(choices=[('unlimited', 'Unlimited: allocated credits stay'), ('capped', 'Capped: up to the cap they roll over when their period ends'), ('none', "None: a period's credits expire when it ends")], default='unlimited', help_text="What becomes of a period's unspent credits. A change touches later grants only.", max_length=16),
        ),
        migrations.AddConstraint(
            model_name='subscription',
            constraint=models.CheckConstraint(condition=models.Q(('changes__gte', 0)), name='tiers_subscription_changes_counted'),
        ),
        migrations.AddConstraint(
            model_name='tier',
            constraint=models.CheckConstraint(condition=models.Q(('rollover__in', ['unlimited', 'capped', 'none'])), name='tiers_tier_rollover_known'),
        ),
        migrations.AddConstraint(
            model_name='tier',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('rollover', 'capped'), models.Q(('rollover_cap_credits__isnull', False), ('rollover_cap_percent__isnull', False), _connector='OR')), models.Q(models.Q(('rollover', 'capped'), _negated=True), ('rollover_cap_credits__isnull', True), ('rollover_cap_percent__isnull', True), ('rollover_months__isnull', True)), _connector='OR'), name='tiers_tier_capped_has_a_cap'),
        ),
        migrations.AddConstraint(
            model_name='tier',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('rollover_cap_credits__isnull', True), models.Q(('rollover_cap_credits__gte', 1), ('rollover_cap_credits__lte', 1000000000000)), _connector='OR'), models.Q(('rollover_cap_percent__isnull', True), models.Q(('rollover_cap_percent__gte', 1), ('rollover_cap_percent__lte', 1000)), _connector='OR'), models.Q(('rollover_months__isnull', True), models.Q(('rollover_months__gte', 1), ('rollover_months__lte', 120)), _connector='OR')), name='tiers_tier_caps_in_bounds'),
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
        migrations.AddConstraint(
            model_name='tierchange',
            constraint=models.UniqueConstraint(fields=('balance', 'number'), name='tiers_change_numbered'),
        ),
        migrations.AddConstraint(
            model_name='tierchange',
            constraint=models.CheckConstraint(condition=models.Q(('number__gte', 1), ('period__gte', 0)), name='tiers_change_counts'),
        ),
        migrations.AddConstraint(
            model_name='tierchange',
            constraint=models.CheckConstraint(condition=models.Q(('from_tier', models.F('to_tier')), _negated=True), name='tiers_change_changes'),
        ),
        migrations.AddConstraint(
            model_name='tierchange',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('credits__gt', 0), ('transaction__isnull', False)), models.Q(('credits', 0), ('transaction__isnull', True)), _connector='OR'), name='tiers_change_credits_have_transaction'),
        ),
        migrations.AddConstraint(
            model_name='tierchange',
            constraint=models.CheckConstraint(condition=models.Q(('credits__lte', models.F('high_credits')), ('high_credits__gte', 1)), name='tiers_change_gives_no_more_than_the_highest'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='tierchange',
            trigger=pgtrigger.compiler.Trigger(name='change_stays', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='3f5077be567a22b6696377a65988eb569cd109fe', operation='UPDATE OR DELETE', pgid='pgtrigger_change_stays_02ccb', table='tiers_tierchange', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='tierchange',
            trigger=pgtrigger.compiler.Trigger(name='change_never_truncated', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='af2e7a1c85b7f3b2674e07df98c144a029153081', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_change_never_truncated_42a91', table='tiers_tierchange', when='BEFORE')),
        ),
    ]
