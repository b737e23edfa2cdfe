from django.db import migrations

# Each check of a reference asks for a row by (balance, id). PostgreSQL plans that once for a connection; while most
# balances have a single row it takes every index that begins with the balance to be as good as the one on both, and
# may then read a whole history for each check, once a balance has one. So it is told that histories are long.
TABLES = ("credits_credittransaction", "credits_creditgrant", "credits_credithold")


class Migration(migrations.Migration):
    dependencies = [("credits", "0006_desk")]

    operations = [
        migrations.RunSQL(
            [f"ALTER TABLE {table} ALTER COLUMN balance_id SET (n_distinct = -0.02)" for table in TABLES],
            [f"ALTER TABLE {table} ALTER COLUMN balance_id RESET (n_distinct)" for table in TABLES],
        )
    ]
