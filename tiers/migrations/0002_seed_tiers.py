"""Create the four tiers that Fluxori starts with and the recovery cost. Staff edit them in the admin afterwards."""

from datetime import UTC, datetime
from decimal import Decimal

from django.db import migrations

TIERS = [
    ("explorer", "Explorer", 400, "32.00", "52.00"),
    ("growth", "Growth", 2_000, "160.00", "260.00"),
    ("pro", "Pro", 7_000, "560.00", "910.00"),
    ("enterprise", "Enterprise", 20_000, "1600.00", "2600.00"),
]
SINCE = datetime(2020, 1, 1, tzinfo=UTC)


def seed(apps, schema_editor):
    tier_model = apps.get_model("tiers", "Tier")
    for code, name, monthly_credits, low, high in TIERS:
        tier_model.objects.create(
            code=code, name=name, monthly_credits=monthly_credits, price_min=Decimal(low), price_max=Decimal(high)
        )
    apps.get_model("tiers", "RecoveryCost").objects.create(rand_per_credit=Decimal("0.0183"), effective_from=SINCE)


class Migration(migrations.Migration):
    dependencies = [("tiers", "0001_initial")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
