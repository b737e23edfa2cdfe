"""Create the tables and the users of the naive application, and print an access token of each user as JSON.

It runs as ``python -m fluxori.devtools.bench.naive.fill NUMBER`` with DATABASE_URL.
"""

import json
import os
import sys


def main(number: int) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "fluxori.devtools.bench.naive.settings"
    import django  # noqa: PLC0415 (needs the line above)

    django.setup()
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from rest_framework_simplejwt.tokens import AccessToken  # noqa: PLC0415, TID251 - as such a service does

    from fluxori.devtools.bench.naive.models import Balance  # noqa: PLC0415

    # The tables of an app without migrations are created first, and refer to those of users.
    call_command("migrate", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)
    users = User.objects.bulk_create([User(username=f"bench-{each}") for each in range(number)])
    Balance.objects.bulk_create([Balance(user=user, credits=10**11) for user in users])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    json.dump([str(AccessToken.for_user(user)) for user in users], sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
