"""SQL files that migrations run.

``run_sql_file`` gives a migration one step for one file in the ``sql`` folder next to it, so that SQL is edited,
reviewed and linted as SQL. The step has no reverse: a new installation is the only way back before the first migration.
"""

from pathlib import Path

from django.db.migrations import RunSQL


def run_sql_file(migration: str, name: str) -> RunSQL:
    """Return the step that runs ``sql/<name>.sql`` from the folder of ``migration``, which is its ``__file__``."""
    return RunSQL((Path(migration).parent / "sql" / f"{name}.sql").read_text(encoding="utf-8"))
