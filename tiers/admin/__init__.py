"""Tiers and costs, which staff edit; subscriptions and allocations, which they read; allocating a month by hand."""

from tiers.admin import subscriptions, tiers

__all__ = ["subscriptions", "tiers"]
