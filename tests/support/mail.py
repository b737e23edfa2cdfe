"""What was sent by e-mail in a test."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from django.core import mail
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob


@contextmanager
def mail_delivered() -> Iterator[None]:
    """Run the jobs that the block adds, in the transaction of the test."""
    earlier = set(ProcrastinateJob.objects.values_list("pk", flat=True))
    yield
    added = ProcrastinateJob.objects.exclude(pk__in=earlier).order_by("pk")
    for task, arguments in list(added.values_list("task_name", "args")):
        app.tasks[task](**arguments)


def sent_token() -> str:
    """Return the token in the link of the last mail."""
    match = re.search(r"#token=(\S+)", str(mail.outbox[-1].body))
    assert match is not None
    return match[1]
