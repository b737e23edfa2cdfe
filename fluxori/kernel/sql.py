"""SQL that stands in a file of its own, beside the migration that runs it."""

from pathlib import Path

from django.db.migrations import RunSQL


def beside(migration: str, name: str) -> RunSQL:
    """Return the migration step that runs ``name``.sql from the folder of ``migration`` (its ``__file__``).

    The way back is ``name``.down.sql where that file exists; otherwise the step cannot be undone.
    """
    folder = Path(migration).parent
    back = folder / f"{name}.down.sql"
    return RunSQL(
        sql=(folder / f"{name}.sql").read_text(encoding="utf-8"),
        reverse_sql=back.read_text(encoding="utf-8") if back.exists() else None,
    )
