"""The app of subscription tiers. When it is ready, the ledger can ask it about tiers."""

from django.apps import AppConfig


class TiersConfig(AppConfig):
    name = "tiers"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the provider of tier facts; see ``credits.tier_registry``."""
        from credits import tier_registry  # noqa: PLC0415 - models are not loaded before
        from tiers.provider import SubscriptionTierProvider  # noqa: PLC0415

        tier_registry.register(SubscriptionTierProvider())
