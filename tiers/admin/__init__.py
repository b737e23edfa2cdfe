"""Admin pages: tiers and recovery costs, which staff edit, and read-only subscriptions and allocations."""

from tiers.admin import subscriptions, tiers

__all__ = ["subscriptions", "tiers"]
