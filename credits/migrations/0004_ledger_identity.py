"""The identity of the ledger: the row is written before the trigger that rejects any other."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('credits', '0003_seed_features'),
    ]

    operations = [
        migrations.CreateModel(
            name='LedgerIdentity',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('single', models.BooleanField(default=True, editable=False, help_text='Always true: there is one row.', unique=True)),
            ],
            options={
                'verbose_name_plural': 'ledger identities',
                'constraints': [models.CheckConstraint(condition=models.Q(('single', True)), name='credits_identity_one_row')],
            },
        ),
        migrations.RunSQL("INSERT INTO credits_ledgeridentity (id, single) VALUES (gen_random_uuid(), true)"),
        pgtrigger.migrations.AddTrigger(
            model_name='ledgeridentity',
            trigger=pgtrigger.compiler.Trigger(name='identity_forbid', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot insert or update or delete rows from % table', TG_TABLE_NAME;", hash='ce1feb7628ca1cf0fd5d76494aede091ba10c291', operation='INSERT OR UPDATE OR DELETE', pgid='pgtrigger_identity_forbid_809a7', table='credits_ledgeridentity', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='ledgeridentity',
            trigger=pgtrigger.compiler.Trigger(name='identity_forbid_truncate', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;", hash='cf8e965aa744cbcdab7cbd15df8e1b67cf4870e4', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_identity_forbid_truncate_5f660', table='credits_ledgeridentity', when='BEFORE')),
        ),
    ]
