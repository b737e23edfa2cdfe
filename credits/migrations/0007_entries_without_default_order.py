from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("credits", "0006_verification_run")]

    operations = [migrations.AlterModelOptions(name="creditentry", options={"verbose_name_plural": "credit entries"})]
