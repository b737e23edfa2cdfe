"""Addresses of admin pages."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse


def change_url(label: str, key: Any) -> str:
    """Return the address of the page of one row. ``label`` is like ``credits_creditgrant``."""
    return reverse(f"admin:{label}_change", args=[key])


def changelist_url(label: str, **filters: Any) -> str:
    """Return the address of a filtered list."""
    return f"{reverse(f'admin:{label}_changelist')}?{urlencode(filters)}"


def action_url(code: str, balance_id: UUID, **params: Any) -> str:
    """Return the address of the form of a staff action on a balance.

    ``params`` name the row that the action is about (``grant=...``) or prefill fields of the form.
    """
    address = reverse("admin:console_action", args=[code, balance_id])
    return f"{address}?{urlencode(params)}" if params else address
