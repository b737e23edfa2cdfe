"""Create the four features that Fluxori starts with and their prices. Staff edit them in the admin afterwards."""

from datetime import UTC, datetime

from django.db import migrations

FEATURES = [
    ("simple-ai-insight", "Simple AI insight", "insight", 9),
    ("advanced-ai-analysis", "Advanced AI analysis", "analysis", 25),
    ("ai-generated-report", "AI-generated report", "report", 40),
    ("realtime-ai-dashboard", "Real-time AI dashboard", "refresh", 3),
]
SINCE = datetime(2020, 1, 1, tzinfo=UTC)


def seed(apps, schema_editor):
    feature_model = apps.get_model("credits", "Feature")
    price_model = apps.get_model("credits", "FeaturePrice")
    for code, name, unit, credits in FEATURES:
        feature = feature_model.objects.create(code=code, name=name, unit=unit)
        price_model.objects.create(feature=feature, credits=credits, effective_from=SINCE)


class Migration(migrations.Migration):
    dependencies = [("credits", "0002_sql")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
