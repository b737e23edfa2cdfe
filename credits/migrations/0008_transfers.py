"""Transfers: their type, the id of the counterpart in the other balance, and its part in the hash."""

from django.conf import settings
from django.db import migrations, models

from fluxori.db.migration_sql import run_sql_file


class Migration(migrations.Migration):

    dependencies = [
        ('credits', '0007_entries_without_default_order'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='credittransaction',
            name='credits_transaction_type_fits_amount',
        ),
        migrations.AddField(
            model_name='credittransaction',
            name='counterpart_id',
            field=models.UUIDField(editable=False, help_text='The other transaction of a transfer, in the other balance.', null=True),
        ),
        migrations.AlterField(
            model_name='credittransaction',
            name='type',
            field=models.CharField(choices=[('allocation', 'Allocation'), ('purchase', 'Purchase'), ('promotion', 'Promotion'), ('usage', 'Usage'), ('refund', 'Refund'), ('reversal', 'Reversal'), ('expiry', 'Expiry'), ('void', 'Void'), ('adjustment', 'Adjustment'), ('rollover', 'Rollover'), ('transfer', 'Transfer')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='credittransaction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('amount__gt', 0), ('type__in', ['allocation', 'purchase', 'promotion', 'refund'])), models.Q(('amount__lt', 0), ('type__in', ['usage', 'expiry', 'void'])), models.Q(('amount__lte', 0), ('type', 'reversal')), ('type', 'adjustment'), models.Q(('amount', 0), ('type', 'rollover')), models.Q(('type', 'transfer'), models.Q(('amount', 0), _negated=True)), _connector='OR'), name='credits_transaction_type_fits_amount'),
        ),
        migrations.AddConstraint(
            model_name='credittransaction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('counterpart_id__isnull', False), ('type', 'transfer')), models.Q(models.Q(('type', 'transfer'), _negated=True), ('counterpart_id__isnull', True)), _connector='OR'), name='credits_transaction_counterpart_iff_transfer'),
        ),
        run_sql_file(__file__, "hash_counterpart"),
    ]
