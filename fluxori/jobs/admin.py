"""The admin page of the queue: jobs with their events. Superusers can run failed jobs again and cancel waiting ones."""

import json
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from procrastinate import exceptions
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateEvent, ProcrastinateJob
from procrastinate.jobs import Status
from unfold.admin import TabularInline

from fluxori.adminkit.columns import timestamp_column
from fluxori.adminkit.read_only import ReadOnlyAdmin
from fluxori.core import clock

# The page of procrastinate itself has another theme, and other permissions.
admin.site.unregister(ProcrastinateJob)


class EventsInline(TabularInline):  # type: ignore[misc] # django-unfold has no types
    """What happened to the job, oldest first."""

    model = ProcrastinateEvent
    extra = max_num = 0
    can_delete = False
    hide_title = True
    verbose_name_plural = "events"
    fields = readonly_fields = ["type", "time"]
    ordering = ["id"]
    time = timestamp_column("at", "time")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # the page of the job has its own permission

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class StatusFilter(admin.SimpleListFilter):
    """A filter by status. The column is an enum of PostgreSQL, which refuses to compare with any other text."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status, status.capitalize()) for status in ProcrastinateJob.STATUSES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ProcrastinateJob]) -> QuerySet[ProcrastinateJob]:
        status = self.value()
        return queryset.filter(status=status) if status in ProcrastinateJob.STATUSES else queryset


@admin.register(ProcrastinateJob)
class JobAdmin(ReadOnlyAdmin):
    list_display = ["id", "task_name", "argument_text", "status", "attempts", "not_before", "queue_name"]
    list_filter = [StatusFilter]
    search_fields = ["=task_name"]
    search_help_text = "Task"
    empty_message = "The worker adds the jobs of the schedule when it starts."
    inlines = [EventsInline]
    actions = ["run_again", "cancel"]  # type: ignore[assignment]
    fields = [
        ("id", "status"),
        ("task_name", "queue_name"),
        "argument_text",
        ("attempts", "scheduled_at"),
        ("lock", "queueing_lock"),
    ]
    readonly_fields = ["argument_text"]
    not_before = timestamp_column("scheduled_at", "not before")

    @admin.display(description="arguments")
    def argument_text(self, row: ProcrastinateJob) -> str:
        return json.dumps(row.args, ensure_ascii=False)

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """Only those who may change jobs can run them again or cancel them: superusers, unless a group has it."""
        return request.user.has_perm("procrastinate.change_procrastinatejob")

    @admin.action(description="Run failed jobs again", permissions=["manage"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[ProcrastinateJob]) -> None:
        now = clock.now()

        def retry(job: ProcrastinateJob) -> None:
            app.job_manager.retry_job_by_id(job.pk, now)

        self._act(request, queryset.filter(status=Status.FAILED.value), retry, "runs again")

    @admin.action(description="Cancel waiting jobs", permissions=["manage"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[ProcrastinateJob]) -> None:
        def cancel(job: ProcrastinateJob) -> None:
            app.job_manager.cancel_job_by_id(job.pk)

        self._act(request, queryset.filter(status=Status.TODO.value), cancel, "cancelled")

    def _act(
        self,
        request: HttpRequest,
        jobs: QuerySet[ProcrastinateJob],
        act: Callable[[ProcrastinateJob], None],
        result: str,
    ) -> None:
        done = 0
        for job in jobs:
            try:
                with transaction.atomic():
                    act(job)
                    self.log_change(request, job, result)
            except exceptions.ConnectorException:
                # The worker was faster, or another job with the same queueing lock waits.
                messages.warning(request, f"Job {job.pk} was left as it is: its state changed, or another one waits.")
            else:
                done += 1
        messages.success(request, f"{done} jobs: {result}.")
