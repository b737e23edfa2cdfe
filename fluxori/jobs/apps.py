"""The app of the jobs. When it is ready, the checks include the scheduler, and the metrics its periodic jobs."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "fluxori.jobs"
    label = "jobs"
    default_auto_field = "django.db.models.BigAutoField"
