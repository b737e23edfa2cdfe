"""Where things are in the admin."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse


def page(label: str, key: Any) -> str:
    """Return the address of one row, ``label`` being like ``credits_creditgrant``."""
    return reverse(f"admin:{label}_change", args=[key])


def rows(label: str, **only: Any) -> str:
    """Return the address of a list, narrowed to ``only``."""
    return f"{reverse(f'admin:{label}_changelist')}?{urlencode(only)}"


def act(name: str, balance_id: UUID, **on: Any) -> str:
    """Return the address of an act on a balance, or on one of its rows: a transaction, grant, hold or limit."""
    address = reverse("admin:console_act", args=[name, balance_id])
    return f"{address}?{urlencode(on)}" if on else address
