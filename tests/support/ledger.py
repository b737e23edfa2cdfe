"""Everything the ledger and the tiers have stored, to show that a refusal or a replay changed none of it."""

from django.db import connection

_DIGEST = "SELECT count(*) || md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} t"


def table_digests() -> dict[str, str]:
    """Return a digest of every row, by table."""
    with connection.cursor() as cursor:
        # What was refused is counted beside the ledger, not in it.
        cursor.execute(
            "SELECT tablename FROM pg_tables"
            " WHERE tablename ~ '^(credits|tiers)_' AND tablename <> 'credits_rejectedattempt' ORDER BY 1"
        )
        tables = [name for (name,) in cursor.fetchall()]
        found = {}
        for table in tables:
            cursor.execute(_DIGEST.format(table))
            [found[table]] = cursor.fetchone() or [""]
    return found
