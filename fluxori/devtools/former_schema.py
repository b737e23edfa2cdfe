"""Recognize databases that were migrated before the migrations were squashed.

Django cannot migrate such a database: the history in ``django_migrations`` does not match today's files. ``manage.py
demo`` and ``manage.py test`` stop with a message instead, and change nothing.
"""

from typing import Any

# The squashed migrations of ``credits`` have another second migration.
FORMER_MIGRATION = ("credits", "0002_seed_features")


def has_former_schema(cursor: Any) -> bool:
    """Return True if the former migrations have run. ``cursor`` is a cursor of Django or of psycopg."""
    cursor.execute("SELECT to_regclass('public.django_migrations') IS NOT NULL")
    (has_migrations,) = cursor.fetchone()
    if not has_migrations:
        return False
    cursor.execute("SELECT EXISTS (SELECT FROM django_migrations WHERE app = %s AND name = %s)", FORMER_MIGRATION)
    (is_former,) = cursor.fetchone()
    return bool(is_former)
