"""Registers the admin classes of the console: Django's autodiscovery imports this module."""

from fluxori.console import admin_registry
from fluxori.console.actions import admin as actions_admin
from fluxori.console.approvals import admin as approvals_admin
from fluxori.console.approvals import ceiling_admin

__all__ = ["actions_admin", "admin_registry", "approvals_admin", "ceiling_admin"]
