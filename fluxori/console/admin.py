"""The console's own pages."""

from fluxori.console import pages, staff_admin

__all__ = ["pages", "staff_admin"]
