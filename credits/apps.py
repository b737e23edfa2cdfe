"""The app of the ledger. When it is ready, the metrics include its gauges."""

from django.apps import AppConfig


class CreditsConfig(AppConfig):
    name = "credits"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the gauges of the ledger; see ``fluxori.db.gauges``."""
        from credits.queries import monitoring  # noqa: PLC0415 - models are not loaded before
        from fluxori.db import gauges  # noqa: PLC0415

        gauges.register(monitoring.read_gauges)
