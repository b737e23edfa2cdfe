"""Register the admin classes of the console."""

from fluxori.console import admin_registry
from fluxori.console.approvals import admin

__all__ = ["admin", "admin_registry"]
