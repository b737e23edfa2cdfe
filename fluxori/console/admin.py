"""The console's own pages."""

from fluxori.console import staff_admin

__all__ = ["staff_admin"]
