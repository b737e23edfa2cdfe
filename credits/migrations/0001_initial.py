# Constraints and indexes stand in CreateModel where Django allows it: each separate operation makes migrate slower.

import credits.models.balance
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.comparison
import fluxori.core.ids
import pgtrigger.compiler
import pgtrigger.migrations
import simple_history.models
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('identity', '0001_initial'),
        ('identity', '__first__'),
    ]

    operations = [
        migrations.CreateModel(
            name='CreditBalance',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('balance', models.BigIntegerField(default=0, help_text='The sum of all transactions, in whole credits.')),
                ('held', models.BigIntegerField(default=0, help_text='Credits reserved by open holds.')),
                ('debt', models.BigIntegerField(default=0, help_text='Credits that were taken back after they had been spent.')),
                ('sequence', models.BigIntegerField(default=0, help_text='The sequence number of the last transaction.')),
                ('version', models.BigIntegerField(default=0, help_text='How many changes have been committed.')),
                ('head_hash', models.BinaryField(default=credits.models.balance.genesis, help_text='The hash of the last transaction.')),
                ('last_at', models.DateTimeField(help_text='When the balance last changed; the next change is never earlier.')),
                ('suspended_at', models.DateTimeField(blank=True, help_text='When spending was suspended; empty while spending is allowed.', null=True)),
                ('suspension_reason', models.CharField(blank=True, help_text='Why spending was last suspended or resumed.', max_length=500)),
                ('created_at', models.DateTimeField()),
                ('organization', models.OneToOneField(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='credit_balance', to='identity.organization')),
                ('suspension_actor', models.ForeignKey(db_constraint=False, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('user', models.OneToOneField(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='credit_balance', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(condition=models.Q(('suspended_at__isnull', False)), fields=['id'], name='credits_balance_admin_suspend'), models.Index(condition=models.Q(('debt__gt', 0)), fields=['id'], name='credits_balance_admin_debt')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('organization__isnull', True), ('user__isnull', False)), models.Q(('organization__isnull', False), ('user__isnull', True)), _connector='OR'), name='credits_balance_one_owner'), models.CheckConstraint(condition=models.Q(('id', django.db.models.functions.comparison.Coalesce(models.F('user_id'), models.F('organization_id')))), name='credits_balance_id_is_owner'), models.CheckConstraint(condition=models.Q(('debt__gte', 0), ('held__gte', 0), ('sequence__gte', 0), ('version__gte', 0)), name='credits_balance_counts_not_negative'), models.CheckConstraint(condition=models.Q(('balance__gte', django.db.models.expressions.CombinedExpression(models.F('held'), '-', models.F('debt')))), name='credits_balance_remaining_not_negative'), models.CheckConstraint(condition=models.Q(('debt', 0), ('balance', django.db.models.expressions.CombinedExpression(models.F('held'), '-', models.F('debt'))), _connector='OR'), name='credits_balance_debt_without_remaining')],
            },
        ),
        migrations.CreateModel(
            name='Feature',
            fields=[
                ('code', models.CharField(help_text='Lower-case words joined by hyphens, for example simple-ai-insight. The code never changes.', max_length=64, primary_key=True, serialize=False, validators=[django.core.validators.RegexValidator('^[a-z0-9]+(-[a-z0-9]+)*$', 'Lower-case words joined by hyphens.')])),
                ('name', models.CharField(max_length=100)),
                ('unit', models.CharField(help_text='The name of one unit, for example insight or refresh.', max_length=50)),
            ],
            options={
                'ordering': ['code'],
            },
        ),
        migrations.CreateModel(
            name='AggregationRun',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('started_at', models.DateTimeField(help_text='The sums include every transaction stored before, unless balances were busy.')),
                ('finished_at', models.DateTimeField()),
                ('transactions', models.BigIntegerField()),
                ('busy', models.BigIntegerField()),
            ],
            options={
                'ordering': ['-started_at'],
                'indexes': [models.Index(condition=models.Q(('busy', 0)), fields=['-started_at'], name='credits_aggregation_complete')],
            },
        ),
        migrations.CreateModel(
            name='CreditGrant',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('source', models.CharField(choices=[('allocation', 'Allocation'), ('purchase', 'Purchase'), ('promotion', 'Promotion'), ('adjustment', 'Adjustment'), ('rollover', 'Rollover')], max_length=16)),
                ('amount', models.BigIntegerField()),
                ('remaining', models.BigIntegerField()),
                ('held', models.BigIntegerField(default=0)),
                ('live', models.BooleanField()),
                ('priority', models.SmallIntegerField(default=50)),
                ('effective_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField(null=True)),
                ('voided_at', models.DateTimeField(null=True)),
                ('unit_price', models.DecimalField(decimal_places=6, max_digits=18, null=True)),
                ('roll_cap', models.BigIntegerField(null=True)),
                ('roll_until', models.DateTimeField(null=True)),
                ('balance', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='grants', to='credits.creditbalance')),
                ('parent', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='children', to='credits.creditgrant')),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(condition=models.Q(('live', True)), fields=['balance'], name='credits_grant_live'), models.Index(condition=models.Q(('expires_at__isnull', False), ('live', True)), fields=['expires_at', 'balance'], name='credits_grant_due'), models.Index(fields=['effective_at', 'id'], name='credits_grant_admin_time')],
                'constraints': [models.UniqueConstraint(fields=('balance', 'id'), name='credits_grant_in_balance'), models.CheckConstraint(condition=models.Q(('source__in', ['allocation', 'purchase', 'promotion', 'adjustment', 'rollover'])), name='credits_grant_source_valid'), models.CheckConstraint(condition=models.Q(('amount__gte', 1), ('amount__lte', 1000000000000)), name='credits_grant_amount_in_range'), models.CheckConstraint(condition=models.Q(('held__gte', 0), ('remaining__gte', 0), ('remaining__lte', django.db.models.expressions.CombinedExpression(models.F('amount'), '-', models.F('held')))), name='credits_grant_remaining_within_amount'), models.CheckConstraint(condition=models.Q(models.Q(('live', True), models.Q(('remaining__gt', 0), ('held__gt', 0), _connector='OR')), models.Q(('held', 0), ('live', False), ('remaining', 0)), _connector='OR'), name='credits_grant_live_iff_credits'), models.CheckConstraint(condition=models.Q(('priority__gte', 0), ('priority__lte', 100)), name='credits_grant_priority_in_range'), models.CheckConstraint(condition=models.Q(('expires_at__isnull', True), ('expires_at__gt', models.F('effective_at')), _connector='OR'), name='credits_grant_expires_after_effective'), models.CheckConstraint(condition=models.Q(('voided_at__isnull', True), ('remaining', 0), _connector='OR'), name='credits_grant_voided_without_remaining'), models.CheckConstraint(condition=models.Q(('unit_price__isnull', True), ('unit_price__gte', 0), _connector='OR'), name='credits_grant_unit_price_not_negative'), models.CheckConstraint(condition=models.Q(models.Q(('roll_cap__isnull', True), ('roll_until__isnull', True)), models.Q(('expires_at__isnull', False), ('roll_cap__gte', 0), ('roll_cap__isnull', False), ('roll_until__isnull', True)), models.Q(('expires_at__isnull', False), ('roll_cap__gte', 0), ('roll_cap__isnull', False), ('roll_until__gt', models.F('expires_at')), ('roll_until__isnull', False)), _connector='OR'), name='credits_grant_rollover_valid')],
            },
        ),
        migrations.CreateModel(
            name='CreditHold',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('status', models.CharField(choices=[('open', 'Open'), ('captured', 'Captured'), ('released', 'Released'), ('lapsed', 'Lapsed')], max_length=16)),
                ('amount', models.BigIntegerField()),
                ('captured', models.BigIntegerField(default=0)),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('closed_at', models.DateTimeField(null=True)),
                ('quantity', models.BigIntegerField(null=True)),
                ('description', models.CharField(blank=True, max_length=500)),
                ('reference_id', models.CharField(blank=True, max_length=255)),
                ('metadata', models.TextField(null=True)),
                ('request_id', models.CharField(blank=True, max_length=128)),
                ('actor', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('balance', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='holds', to='credits.creditbalance')),
                ('member', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('feature', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='credits.feature')),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(condition=models.Q(('status', 'open')), fields=['balance', 'expires_at'], name='credits_hold_open'), models.Index(condition=models.Q(('status', 'open')), fields=['expires_at', 'balance'], name='credits_hold_due'), models.Index(fields=['created_at', 'id'], name='credits_hold_admin_time'), models.Index(condition=models.Q(('reference_id', ''), _negated=True), fields=['reference_id', 'id'], name='credits_hold_admin_ref')],
                'constraints': [models.UniqueConstraint(fields=('balance', 'id'), name='credits_hold_in_balance'), models.CheckConstraint(condition=models.Q(('amount__gte', 1), ('amount__lte', 1000000000000)), name='credits_hold_amount_in_range'), models.CheckConstraint(condition=models.Q(models.Q(('captured', 0), ('closed_at__isnull', True), ('status', 'open')), models.Q(('captured__gte', 1), ('closed_at__gte', models.F('created_at')), ('closed_at__isnull', False), ('status', 'captured')), models.Q(('captured', 0), ('closed_at__gte', models.F('created_at')), ('closed_at__isnull', False), ('status__in', ['released', 'lapsed'])), _connector='OR'), name='credits_hold_status_consistent'), models.CheckConstraint(condition=models.Q(('expires_at__gt', models.F('created_at'))), name='credits_hold_expires_after_created')],
            },
        ),
        migrations.CreateModel(
            name='CreditPin',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('position', models.SmallIntegerField()),
                ('amount', models.BigIntegerField()),
                ('balance', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='pins', to='credits.creditbalance')),
                ('grant', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='pins', to='credits.creditgrant')),
                ('hold', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='pins', to='credits.credithold')),
            ],
            options={
                'ordering': ['hold', 'position'],
                'indexes': [models.Index(fields=['balance', 'grant'], name='credits_pin_by_grant')],
                'constraints': [models.UniqueConstraint(fields=('balance', 'hold', 'grant'), name='credits_pin_unique_grant'), models.CheckConstraint(condition=models.Q(('amount__gte', 1), ('amount__lte', 1000000000000)), name='credits_pin_amount_in_range')],
            },
        ),
        migrations.CreateModel(
            name='CreditTransaction',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('sequence', models.BigIntegerField()),
                ('type', models.CharField(choices=[('allocation', 'Allocation'), ('purchase', 'Purchase'), ('promotion', 'Promotion'), ('usage', 'Usage'), ('refund', 'Refund'), ('reversal', 'Reversal'), ('expiry', 'Expiry'), ('void', 'Void'), ('adjustment', 'Adjustment'), ('rollover', 'Rollover')], max_length=16)),
                ('amount', models.BigIntegerField(help_text='Whole credits; negative if credits leave the balance.')),
                ('balance_after', models.BigIntegerField()),
                ('timestamp', models.DateTimeField(help_text='When the transaction took effect.')),
                ('recorded_at', models.DateTimeField(help_text='When the transaction was stored.')),
                ('description', models.CharField(blank=True, max_length=500)),
                ('reference_id', models.CharField(blank=True, max_length=255)),
                ('quantity', models.BigIntegerField(null=True)),
                ('idempotency_key', models.CharField(max_length=255, null=True)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('request_id', models.CharField(blank=True, max_length=128)),
                ('metadata', models.TextField(help_text='Metadata of the caller, as canonical JSON.', null=True)),
                ('previous_hash', models.BinaryField()),
                ('hash', models.BinaryField()),
                ('hash_version', models.SmallIntegerField()),
                ('actor', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('balance', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='transactions', to='credits.creditbalance')),
                ('hold', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='transactions', to='credits.credithold')),
                ('member', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('reverses', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='reversed_by', to='credits.credittransaction')),
                ('feature', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='credits.feature')),
            ],
            options={
                'ordering': ['-balance_id', '-sequence'],
                'indexes': [models.Index(fields=['balance', 'timestamp', 'sequence'], name='credits_transaction_by_time'), models.Index(condition=models.Q(('reference_id', ''), _negated=True), fields=['balance', 'reference_id', 'sequence'], name='credits_transaction_by_ref'), models.Index(condition=models.Q(('reverses__isnull', False)), fields=['balance', 'reverses'], name='credits_transaction_reversals'), models.Index(condition=models.Q(('hold__isnull', False)), fields=['balance', 'hold'], name='credits_transaction_by_hold'), models.Index(fields=['timestamp', 'id'], name='credits_transaction_admin_time'), models.Index(condition=models.Q(('type', 'usage'), _negated=True), fields=['type', 'timestamp', 'id'], name='credits_transaction_admin_type'), models.Index(condition=models.Q(('reference_id', ''), _negated=True), fields=['reference_id', 'id'], name='credits_transaction_admin_ref')],
                'constraints': [models.UniqueConstraint(fields=('balance', 'sequence'), name='credits_transaction_unique_sequence'), models.UniqueConstraint(fields=('balance', 'id'), name='credits_transaction_in_balance'), models.CheckConstraint(condition=models.Q(('sequence__gte', 1)), name='credits_transaction_sequence_positive'), models.CheckConstraint(condition=models.Q(models.Q(('amount__gt', 0), ('type__in', ['allocation', 'purchase', 'promotion', 'refund'])), models.Q(('amount__lt', 0), ('type__in', ['usage', 'expiry', 'void'])), models.Q(('amount__lte', 0), ('type', 'reversal')), ('type', 'adjustment'), models.Q(('amount', 0), ('type', 'rollover')), _connector='OR'), name='credits_transaction_type_fits_amount'), models.CheckConstraint(condition=models.Q(('hash_version', 1)), name='credits_transaction_hash_version_valid')],
            },
        ),
        migrations.CreateModel(
            name='CreditRequest',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=255)),
                ('operation', models.CharField(max_length=64)),
                ('fingerprint', models.BinaryField()),
                ('result', models.TextField(help_text='JSON.')),
                ('created_at', models.DateTimeField()),
                ('balance', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='requests', to='credits.creditbalance')),
                ('caller', models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('hold', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='requests', to='credits.credithold')),
                ('transaction', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='requests', to='credits.credittransaction')),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.UniqueConstraint(fields=('balance', 'caller', 'key'), name='credits_request_unique_key', nulls_distinct=False), models.CheckConstraint(condition=models.Q(('key', ''), _negated=True), name='credits_request_key_not_empty')],
            },
        ),
        migrations.AddField(
            model_name='creditgrant',
            name='transaction',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='opened_grants', to='credits.credittransaction'),
        ),
        migrations.CreateModel(
            name='CreditEntry',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('position', models.SmallIntegerField(help_text='The position in the burn order of the transaction, from 0.')),
                ('amount', models.BigIntegerField()),
                ('remaining_after', models.BigIntegerField(null=True)),
                ('balance', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='credits.creditbalance')),
                ('grant', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='credits.creditgrant')),
                ('transaction', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='credits.credittransaction')),
            ],
            options={
                'verbose_name_plural': 'credit entries',
                'ordering': ['transaction', 'position'],
                'constraints': [models.UniqueConstraint(fields=('balance', 'transaction', 'position'), name='credits_entry_unique_position'), models.UniqueConstraint(fields=('balance', 'grant', 'transaction'), name='credits_entry_unique_grant', nulls_distinct=False), models.CheckConstraint(condition=models.Q(('amount', 0), _negated=True), name='credits_entry_amount_not_zero'), models.CheckConstraint(condition=models.Q(('position__gte', 0)), name='credits_entry_position_not_negative'), models.CheckConstraint(condition=models.Q(models.Q(('grant__isnull', True), ('remaining_after__isnull', True)), models.Q(('grant__isnull', False), ('remaining_after__gte', 0), ('remaining_after__isnull', False)), _connector='OR'), name='credits_entry_remaining_after_valid')],
            },
        ),
        migrations.CreateModel(
            name='CreditTotal',
            fields=[
                ('day', models.DateField(help_text='The day in UTC.')),
                ('type', models.CharField(max_length=16)),
                ('credits_in', models.BigIntegerField()),
                ('credits_out', models.BigIntegerField()),
                ('count', models.BigIntegerField()),
                ('value', models.DecimalField(decimal_places=6, max_digits=38)),
                ('unpriced', models.BigIntegerField()),
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('feature', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='credits.feature')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('day', 'type', 'feature'), name='credits_total_unique_group', nulls_distinct=False), models.CheckConstraint(condition=models.Q(('count__gte', 1), ('credits_in__gte', 0), ('credits_out__gte', 0)), name='credits_total_sums_valid')],
            },
        ),
        migrations.CreateModel(
            name='CreditRollup',
            fields=[
                ('day', models.DateField(help_text='The day in UTC.')),
                ('type', models.CharField(max_length=16)),
                ('credits_in', models.BigIntegerField()),
                ('credits_out', models.BigIntegerField()),
                ('count', models.BigIntegerField()),
                ('value', models.DecimalField(decimal_places=6, max_digits=38)),
                ('unpriced', models.BigIntegerField()),
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('balance', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='rollups', to='credits.creditbalance')),
                ('member', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('feature', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='credits.feature')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('balance', 'day', 'type', 'feature', 'member'), name='credits_rollup_unique_group', nulls_distinct=False), models.CheckConstraint(condition=models.Q(('count__gte', 1), ('credits_in__gte', 0), ('credits_out__gte', 0)), name='credits_rollup_sums_valid')],
            },
        ),
        migrations.AddField(
            model_name='creditgrant',
            name='feature',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, to='credits.feature'),
        ),
        migrations.CreateModel(
            name='FeaturePrice',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('credits', models.BigIntegerField(help_text='Whole credits for one unit.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000000000)])),
                ('effective_from', models.DateTimeField(help_text='The first instant at which this price applies.')),
                ('feature', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='prices', to='credits.feature')),
            ],
            options={
                'ordering': ['feature', '-effective_from'],
                'constraints': [models.UniqueConstraint(fields=('feature', 'effective_from'), name='credits_featureprice_unique_instant'), models.CheckConstraint(condition=models.Q(('credits__gte', 1), ('credits__lte', 1000000000000)), name='credits_featureprice_positive')],
            },
        ),
        migrations.AddField(
            model_name='credittransaction',
            name='price',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='credits.featureprice'),
        ),
        migrations.AddField(
            model_name='credithold',
            name='price',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='credits.featureprice'),
        ),
        migrations.CreateModel(
            name='HistoricalFeature',
            fields=[
                ('code', models.CharField(db_index=True, help_text='Lower-case words joined by hyphens, for example simple-ai-insight. The code never changes.', max_length=64, validators=[django.core.validators.RegexValidator('^[a-z0-9]+(-[a-z0-9]+)*$', 'Lower-case words joined by hyphens.')])),
                ('name', models.CharField(max_length=100)),
                ('unit', models.CharField(help_text='The name of one unit, for example insight or refresh.', max_length=50)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical feature',
                'verbose_name_plural': 'historical features',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalFeaturePrice',
            fields=[
                ('id', models.UUIDField(db_index=True, default=fluxori.core.ids.uuid7, editable=False)),
                ('credits', models.BigIntegerField(help_text='Whole credits for one unit.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000000000)])),
                ('effective_from', models.DateTimeField(help_text='The first instant at which this price applies.')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('feature', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='credits.feature')),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical feature price',
                'verbose_name_plural': 'historical feature prices',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='RejectedAttempt',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('hour', models.DateTimeField(help_text='The start of the hour.')),
                ('code', models.CharField(max_length=64)),
                ('feature', models.CharField(blank=True, max_length=64)),
                ('count', models.BigIntegerField()),
                ('last_at', models.DateTimeField()),
                ('facts', models.JSONField(default=dict, help_text='The numbers that the rejection is based on.')),
                ('actor', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('balance', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='rejected_attempts', to='credits.creditbalance')),
                ('member', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['hour', 'id'], name='credits_rejected_admin_time'), models.Index(fields=['code', 'hour', 'id'], name='credits_rejected_admin_code')],
                'constraints': [models.UniqueConstraint(fields=('balance', 'hour', 'code', 'feature'), name='credits_rejected_unique_hour'), models.CheckConstraint(condition=models.Q(('count__gte', 1)), name='credits_rejected_count_positive')],
            },
        ),
        migrations.CreateModel(
            name='SpendingLimit',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('period', models.CharField(choices=[('day', 'Day'), ('month', 'Month')], max_length=16)),
                ('amount', models.BigIntegerField(help_text='The most whole credits that may be used in one window.')),
                ('window_starts_at', models.DateTimeField(help_text='The start of the window that ``used`` refers to.')),
                ('used', models.BigIntegerField(help_text='Usage and open holds of the window, less refunds, in whole credits.')),
                ('set_at', models.DateTimeField()),
                ('removed_at', models.DateTimeField(null=True)),
                ('balance', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='limits', to='credits.creditbalance')),
                ('member', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('set_by', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.UniqueConstraint(fields=('balance', 'id'), name='credits_limit_in_balance'), models.UniqueConstraint(condition=models.Q(('removed_at__isnull', True)), fields=('balance', 'member', 'period'), name='credits_limit_unique_period', nulls_distinct=False), models.CheckConstraint(condition=models.Q(('period__in', ['day', 'month'])), name='credits_limit_period_valid'), models.CheckConstraint(condition=models.Q(('amount__gte', 0), ('amount__lte', 1000000000000)), name='credits_limit_amount_in_range'), models.CheckConstraint(condition=models.Q(('used__gte', 0)), name='credits_limit_used_not_negative')],
            },
        ),
        migrations.CreateModel(
            name='UsageWatermark',
            fields=[
                ('balance', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='usage_watermark', serialize=False, to='credits.creditbalance')),
                ('sequence', models.BigIntegerField()),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('sequence__gte', 0)), name='credits_watermark_not_negative')],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditbalance',
            trigger=pgtrigger.compiler.Trigger(name='balance_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;", hash='33e917bce24f107de747b8f742f84c455ad85dc2', operation='DELETE', pgid='pgtrigger_balance_forbid_41d2a', table='credits_creditbalance', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditbalance',
            trigger=pgtrigger.compiler.Trigger(name='balance_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='e2bbed839f3089fa09d3119ce84a49b682ab916b', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_balance_forbid_truncate_2227c', table='credits_creditbalance', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditbalance',
            trigger=pgtrigger.compiler.Trigger(name='balance_immutable_columns', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."created_at" IS DISTINCT FROM (NEW."created_at") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."organization_id" IS DISTINCT FROM (NEW."organization_id") OR OLD."user_id" IS DISTINCT FROM (NEW."user_id"))', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='f07dc2519a5c919adbff872c65a30056a114e852', operation='UPDATE', pgid='pgtrigger_balance_immutable_columns_5619c', table='credits_creditbalance', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditbalance',
            trigger=pgtrigger.compiler.Trigger(name='balance_monotonic', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (NEW.version <= OLD.version OR NEW.sequence < OLD.sequence OR NEW.last_at < OLD.last_at OR (NEW.sequence = OLD.sequence AND (NEW.balance <> OLD.balance OR NEW.head_hash <> OLD.head_hash)))', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='fa1bd99325b5a41694919e6ef1a177c5cdb02d57', operation='UPDATE', pgid='pgtrigger_balance_monotonic_a1599', table='credits_creditbalance', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditpin',
            trigger=pgtrigger.compiler.Trigger(name='pin_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='bd0acf0d4447504048767b307eb762042941de3d', operation='UPDATE OR DELETE', pgid='pgtrigger_pin_forbid_e28e5', table='credits_creditpin', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditpin',
            trigger=pgtrigger.compiler.Trigger(name='pin_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='365b9d7c2a8632eb5009b97829aabec3954328e5', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_pin_forbid_truncate_7b199', table='credits_creditpin', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditrequest',
            trigger=pgtrigger.compiler.Trigger(name='request_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='eee0145d7ab31202c1f9ead5cc78d259f8843277', operation='UPDATE OR DELETE', pgid='pgtrigger_request_forbid_47acb', table='credits_creditrequest', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditrequest',
            trigger=pgtrigger.compiler.Trigger(name='request_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='e04d7f1ec81d7a8ddb5062113e4aea022e0020ba', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_request_forbid_truncate_1df1d', table='credits_creditrequest', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditentry',
            trigger=pgtrigger.compiler.Trigger(name='entry_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='b1a6d2f66bda2693f6777c87cc82031a36d7c6cc', operation='UPDATE OR DELETE', pgid='pgtrigger_entry_forbid_c5698', table='credits_creditentry', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditentry',
            trigger=pgtrigger.compiler.Trigger(name='entry_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='73ead6446a82bf63339a9836392d8c2a6b4a1f36', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_entry_forbid_truncate_790cb', table='credits_creditentry', when='BEFORE')),
        ),
        migrations.AddIndex(
            model_name='creditgrant',
            index=models.Index(fields=['balance', 'transaction'], name='credits_grant_by_transaction'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditgrant',
            trigger=pgtrigger.compiler.Trigger(name='grant_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;", hash='f3f8cf0236649783ed777cbd94b785d5bbe07019', operation='DELETE', pgid='pgtrigger_grant_forbid_f2175', table='credits_creditgrant', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditgrant',
            trigger=pgtrigger.compiler.Trigger(name='grant_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='3e9e1114443da51008cafe3c51708c7cb78ae2b4', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_grant_forbid_truncate_43934', table='credits_creditgrant', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditgrant',
            trigger=pgtrigger.compiler.Trigger(name='grant_immutable_columns', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."amount" IS DISTINCT FROM (NEW."amount") OR OLD."balance_id" IS DISTINCT FROM (NEW."balance_id") OR OLD."effective_at" IS DISTINCT FROM (NEW."effective_at") OR OLD."expires_at" IS DISTINCT FROM (NEW."expires_at") OR OLD."feature_id" IS DISTINCT FROM (NEW."feature_id") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."parent_id" IS DISTINCT FROM (NEW."parent_id") OR OLD."priority" IS DISTINCT FROM (NEW."priority") OR OLD."roll_cap" IS DISTINCT FROM (NEW."roll_cap") OR OLD."roll_until" IS DISTINCT FROM (NEW."roll_until") OR OLD."source" IS DISTINCT FROM (NEW."source") OR OLD."transaction_id" IS DISTINCT FROM (NEW."transaction_id") OR OLD."unit_price" IS DISTINCT FROM (NEW."unit_price"))', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='90c64400e93f818ae0e468bd52eeeff7afe5a5f9', operation='UPDATE', pgid='pgtrigger_grant_immutable_columns_333f0', table='credits_creditgrant', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='creditgrant',
            trigger=pgtrigger.compiler.Trigger(name='grant_voided_at_immutable', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.voided_at IS NOT NULL AND NEW.voided_at IS DISTINCT FROM OLD.voided_at)', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='da68192c4c5f69e24c8fedc375fc87c79c3e86fc', operation='UPDATE', pgid='pgtrigger_grant_voided_at_immutable_a3157', table='credits_creditgrant', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='featureprice',
            trigger=pgtrigger.compiler.Trigger(name='price_immutable_once_effective', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.effective_from <= now())', func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='db6e2b346a7dda5b5dba4c12759cde7f0dd1e107', operation='UPDATE OR DELETE', pgid='pgtrigger_price_immutable_once_effective_c0e93', table='credits_featureprice', when='BEFORE')),
        ),
        migrations.AddConstraint(
            model_name='credittransaction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('feature__isnull', True), ('price__isnull', True), ('quantity__isnull', True)), models.Q(('feature__isnull', False), ('price__isnull', False), ('quantity__gte', 1), ('quantity__isnull', False)), _connector='OR'), name='credits_transaction_price_complete'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='credittransaction',
            trigger=pgtrigger.compiler.Trigger(name='transaction_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='b708884318af689d09eb1326a64165da5c9f8572', operation='UPDATE OR DELETE', pgid='pgtrigger_transaction_forbid_b399b', table='credits_credittransaction', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='credittransaction',
            trigger=pgtrigger.compiler.Trigger(name='transaction_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='65b452d34ca0845d150fce7320f31a5dad1e23e9', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_transaction_forbid_truncate_fa15b', table='credits_credittransaction', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='credithold',
            trigger=pgtrigger.compiler.Trigger(name='hold_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;", hash='213bc06527fc01ab2996b42d2398b61ba4dfd7e9', operation='DELETE', pgid='pgtrigger_hold_forbid_0b061', table='credits_credithold', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='credithold',
            trigger=pgtrigger.compiler.Trigger(name='hold_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='539ed33fd493d23e18c213d8ba141dbc0c436a8f', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_hold_forbid_truncate_de730', table='credits_credithold', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='credithold',
            trigger=pgtrigger.compiler.Trigger(name='hold_immutable_columns', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."actor_id" IS DISTINCT FROM (NEW."actor_id") OR OLD."amount" IS DISTINCT FROM (NEW."amount") OR OLD."balance_id" IS DISTINCT FROM (NEW."balance_id") OR OLD."created_at" IS DISTINCT FROM (NEW."created_at") OR OLD."description" IS DISTINCT FROM (NEW."description") OR OLD."feature_id" IS DISTINCT FROM (NEW."feature_id") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."member_id" IS DISTINCT FROM (NEW."member_id") OR OLD."metadata" IS DISTINCT FROM (NEW."metadata") OR OLD."price_id" IS DISTINCT FROM (NEW."price_id") OR OLD."quantity" IS DISTINCT FROM (NEW."quantity") OR OLD."reference_id" IS DISTINCT FROM (NEW."reference_id") OR OLD."request_id" IS DISTINCT FROM (NEW."request_id"))', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='c949a53bf70a04d7c406987c1dbcb2e0b1d66804', operation='UPDATE', pgid='pgtrigger_hold_immutable_columns_481a8', table='credits_credithold', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='credithold',
            trigger=pgtrigger.compiler.Trigger(name='hold_immutable_once_closed', sql=pgtrigger.compiler.UpsertTriggerSql(condition="WHEN (OLD.status <> 'open')", func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='24aef687fb19330e7da3079c8328f0abf4bfba37', operation='UPDATE', pgid='pgtrigger_hold_immutable_once_closed_295b4', table='credits_credithold', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='spendinglimit',
            trigger=pgtrigger.compiler.Trigger(name='limit_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;", hash='3144744dc8df2a5eb2048c3fb44d713ad70a7401', operation='DELETE', pgid='pgtrigger_limit_forbid_3bbf7', table='credits_spendinglimit', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='spendinglimit',
            trigger=pgtrigger.compiler.Trigger(name='limit_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='6faf64354e98437569e891d8cfd1d3a0284aefc6', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_limit_forbid_truncate_8d99d', table='credits_spendinglimit', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='spendinglimit',
            trigger=pgtrigger.compiler.Trigger(name='limit_immutable_columns', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."balance_id" IS DISTINCT FROM (NEW."balance_id") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."member_id" IS DISTINCT FROM (NEW."member_id") OR OLD."period" IS DISTINCT FROM (NEW."period"))', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='34036291723dacee17fb6d62d7e15a3a710ad268', operation='UPDATE', pgid='pgtrigger_limit_immutable_columns_d2277', table='credits_spendinglimit', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='spendinglimit',
            trigger=pgtrigger.compiler.Trigger(name='limit_monotonic', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.removed_at IS NOT NULL OR NEW.window_starts_at < OLD.window_starts_at OR NEW.set_at < OLD.set_at)', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='b944895879cfc712a4a66f38e4935565d8612dd8', operation='UPDATE', pgid='pgtrigger_limit_monotonic_510cb', table='credits_spendinglimit', when='BEFORE')),
        ),
    ]
