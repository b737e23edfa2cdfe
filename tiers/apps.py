"""The app of subscription tiers. When it is ready, the ledger can ask it about tiers. Metrics include its gauge."""

from django.apps import AppConfig


class TiersConfig(AppConfig):
    name = "tiers"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the provider of tier facts and the gauge; see ``credits.tier_registry``, ``fluxori.db.gauges``."""
        from credits import tier_registry  # noqa: PLC0415 - models are not loaded before
        from fluxori.db import gauges  # noqa: PLC0415
        from tiers.provider import SubscriptionTierProvider  # noqa: PLC0415
        from tiers.queries import monitoring  # noqa: PLC0415

        tier_registry.register(SubscriptionTierProvider())
        gauges.register(monitoring.read_gauges)
