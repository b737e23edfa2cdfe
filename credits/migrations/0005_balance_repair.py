"""The records of repairs of balances."""

import django.db.models.deletion
import fluxori.core.ids
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('credits', '0004_ledger_identity'),
    ]

    operations = [
        migrations.CreateModel(
            name='BalanceRepair',
            fields=[
                ('id', models.UUIDField(default=fluxori.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('reason', models.CharField(max_length=500)),
                ('before', models.JSONField()),
                ('after', models.JSONField()),
                ('at', models.DateTimeField()),
                ('balance', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='repairs', to='credits.creditbalance')),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['balance', 'id'], name='credits_repair_by_balance')],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='balancerepair',
            trigger=pgtrigger.compiler.Trigger(name='repair_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='b7938658722ac2641c566abfd891ee29ca26ecb2', operation='UPDATE OR DELETE', pgid='pgtrigger_repair_forbid_f3ec9', table='credits_balancerepair', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='balancerepair',
            trigger=pgtrigger.compiler.Trigger(name='repair_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='b59c7279f37760afc805e178415eb567105f7770', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_repair_forbid_truncate_6eeb3', table='credits_balancerepair', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='balancerepair',
            trigger=pgtrigger.compiler.Trigger(name='repair_by_owner', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot insert rows from % table', TG_TABLE_NAME;", hash='ba2f880b049fada7aaa4a784b92c8d86c112e468', operation='INSERT', pgid='pgtrigger_repair_by_owner_8a6f3', table='credits_balancerepair', when='BEFORE')),
        ),
    ]
