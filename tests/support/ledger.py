"""A digest of all stored rows, used to show that a rejected or replayed request changes nothing."""

from django.db import connection

_DIGEST = "SELECT '{0}', count(*) || md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {0} t"


def table_digests() -> dict[str, str]:
    """Return one digest per table of the ledger and of the tiers."""
    with connection.cursor() as cursor:
        # Rejected attempts are counted outside the ledger: a rejected request may change them.
        cursor.execute(
            "SELECT tablename FROM pg_tables"
            " WHERE tablename ~ '^(credits|tiers)_' AND tablename <> 'credits_rejectedattempt' ORDER BY 1"
        )
        tables = [name for (name,) in cursor.fetchall()]
        cursor.execute(" UNION ALL ".join(_DIGEST.format(table) for table in tables))
        return dict(cursor.fetchall())
