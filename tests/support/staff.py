"""Members of staff in their roles, and the forms of staff actions."""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from fluxori.console.actions.base import ActionRequest
from fluxori.console.actions.catalogue import ACTIONS
from fluxori.core.ids import uuid7
from fluxori.identity.models import User
from tests.support.times import NOON

ROLES = ("support", "support lead", "finance", "auditor")


def make_staff(*roles: str) -> User:
    """Return a new member of staff in these groups."""
    user = User.objects.create_user(f"{uuid7()}@staff.test", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=roles))
    return user


def client_of(user: User) -> Client:
    """Return a test client with this user logged in."""
    client = Client()
    client.force_login(user)
    return client


def action_url(code: str, owner: Any, **params: Any) -> str:
    """Return the address of the form of a staff action on an owner's balance."""
    address = reverse("admin:console_action", args=[code, owner.pk])
    return address + "".join(f"?{name}={value}" for name, value in params.items())


def fill_form(client: Client, url: str, **values: Any) -> dict[str, Any]:
    """Return the data of the form at ``url`` with its idempotency key, a reason and ``values``."""
    form = client.get(url).context["form"]
    initial = {field.name: field.value() for field in form}
    return {name: value for name, value in {**initial, "reason": "goodwill", **values}.items() if value is not None}


def action_request(
    code: str, owner: Any, actor: User, subject_id: UUID | None = None, **arguments: Any
) -> ActionRequest:
    """Return a request for a staff action at noon, with a new idempotency key."""
    defaults = {"add": {"type": "promotion", "description": "", "expires_at": None, "unit_price": None}}
    return ActionRequest(
        action=ACTIONS[code],
        owner=owner,
        arguments={**defaults.get(code, {}), **arguments},
        actor=actor,
        at=NOON,
        reason="goodwill",
        idempotency_key=str(uuid7()),
        subject_id=subject_id,
    )
