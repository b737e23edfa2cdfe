"""Add jobs to the queue of the worker, from any layer.

The job is a row of the caller's transaction: it runs after the commit, and a rollback removes it. The worker runs it at
least once, so a task must be safe to repeat. No operation of the ledger may call this: a new job sends NOTIFY, and a
transaction with NOTIFY holds a lock of the whole server while it commits.
"""

from datetime import datetime

from django.db import transaction
from procrastinate.contrib.django import app
from procrastinate.types import JSONValue


def defer(
    task: str,
    *,
    lock: str | None = None,
    queueing_lock: str | None = None,
    at: datetime | None = None,
    arguments: dict[str, JSONValue] | None = None,
) -> int:
    """Add a job for the task of this name, and return the id of the job. ``arguments`` are those of the task.

    Jobs with the same ``lock`` run one after the other. The job does not start before ``at``. After an error the
    transaction of the caller can go on.

    :raises TaskNotFound: no module ``tasks`` of an app has a task of this name
    :raises AlreadyEnqueued: a job with the same ``queueing_lock`` already waits
    """
    deferrer = app.configure_task(
        task, allow_unknown=False, lock=lock, queueing_lock=queueing_lock, schedule_at=at, task_kwargs=arguments or {}
    )
    with transaction.atomic():
        return deferrer.defer()
