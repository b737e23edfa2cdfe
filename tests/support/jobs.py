"""Run the queue of background jobs in a test."""

from unittest.mock import patch

from django.db import connection
from procrastinate.contrib.django import app, procrastinate_app
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.periodic import PeriodicRegistry


def run_worker(*queues: str) -> None:
    """Run a worker in this process until these queues, or the default queue, are empty.

    It sees only committed jobs, and adds no periodic ones.
    """
    # Without persistent connections: the threads of the worker end with it.
    with (
        patch.object(procrastinate_app.current_app, "periodic_registry", PeriodicRegistry()),
        patch.dict(connection.settings_dict, CONN_MAX_AGE=0),
        app.replace_connector(app.connector.get_worker_connector()),  # type: ignore[attr-defined]
    ):
        app.run_worker(queues=list(queues or ["default"]), wait=False, install_signal_handlers=False)


def waiting_jobs() -> list[tuple[str, dict[str, object]]]:
    """Return the task and the arguments of every job that waits, in the order in which they were added."""
    return list(ProcrastinateJob.objects.filter(status="todo").order_by("id").values_list("task_name", "args"))


def run_waiting_jobs() -> None:
    """Call the tasks of the jobs that wait, in the transaction of the test. The jobs stay in the queue."""
    for task, arguments in waiting_jobs():
        app.tasks[task](**arguments)


def statuses() -> dict[str, str]:
    """Return the status of the last job of each task."""
    return dict(ProcrastinateJob.objects.order_by("id").values_list("task_name", "status"))
