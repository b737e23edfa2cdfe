"""The app of the jobs. When it is ready, the checks include the scheduler, and the metrics its periodic jobs."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "fluxori.jobs"
    label = "jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the check and the gauges; see ``fluxori.db.gauges``."""
        from fluxori.db import gauges  # noqa: PLC0415 - models are not loaded before
        from fluxori.jobs import checks, monitoring  # noqa: F401, PLC0415 - registers the check

        gauges.register(monitoring.read_gauges)
