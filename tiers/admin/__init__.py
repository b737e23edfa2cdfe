"""Tiers and costs, which staff edit; subscriptions and allocations, which they read; allocating a month by hand."""

from tiers.admin import offers, promises

__all__ = ["offers", "promises"]
