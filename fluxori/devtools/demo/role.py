"""The role as which the demo's server logs in: like in production, it owns nothing and cannot change history."""

import os
from urllib.parse import urlsplit

from django.db import connection

from fluxori.db.privileges import grant_privileges

ROLE = "fluxori_app"


def application_url() -> str:
    """Return the URL of the embedded database for the role of the application. Create the role if it is missing.

    The embedded server trusts its socket, which only its own account can open, so the role needs no password.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [ROLE])
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE ROLE {ROLE} LOGIN")
    grant_privileges(ROLE)
    return urlsplit(os.environ["DATABASE_URL"])._replace(netloc=f"{ROLE}@").geturl()
