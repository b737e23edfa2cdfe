"""What Django cannot declare on a model: composite foreign keys, storage settings, the usage view and the hash functions."""

from django.db import migrations

from fluxori.db.migration_sql import run_sql_file


class Migration(migrations.Migration):
    dependencies = [("credits", "0001_initial")]
    operations = [
        run_sql_file(__file__, "constraints"),
        run_sql_file(__file__, "storage"),
        run_sql_file(__file__, "movement"),
        run_sql_file(__file__, "hash_chain"),
    ]
