"""The history of users, organizations and memberships: who changed what, when, and from which value to which.

The entries are those of Django's admin, so a change over the API is on the history page of the row.
"""

from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from fluxori.identity.models import User


def record_creation(row: Model, *, actor: User | None) -> None:
    """Record that ``actor`` created ``row``. Without an actor, which an entry needs, nothing is recorded."""
    _record(row, actor, ADDITION, "Added.")


def record_changes(row: Model, changes: dict[str, tuple[Any, Any]], *, actor: User | None) -> None:
    """Record changed values: the earlier and the new one, by name. Equal values are left out."""
    changed = [f"{name}: {old} → {new}" for name, (old, new) in changes.items() if old != new]
    if changed:
        _record(row, actor, CHANGE, f"{'; '.join(changed)}.")


def _record(row: Model, actor: User | None, action: int, message: str) -> None:
    if actor is not None:
        LogEntry.objects.create(
            user=actor,
            content_type=ContentType.objects.get_for_model(row),
            object_id=row.pk,
            object_repr=str(row)[:200],
            action_flag=action,
            change_message=message,
        )
