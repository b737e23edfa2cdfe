"""People of staff in their roles, and how they send an act."""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from fluxori.console.actions.catalogue import ACTS, Order
from fluxori.core.ids import uuid7
from fluxori.identity.models import User
from tests.support.times import NOON

ROLES = ("support", "support lead", "finance", "auditor")


def in_role(*roles: str) -> User:
    """Return somebody new of staff, in these groups."""
    person = User.objects.create_user(f"{uuid7()}@staff.test", is_staff=True)
    person.groups.set(Group.objects.filter(name__in=roles))
    return person


def client_of(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def page_of(act: str, whom: Any, **on: Any) -> str:
    """Return the address of an act's page on somebody's credits."""
    address = reverse("admin:console_act", args=[act, whom.pk])
    return address + "".join(f"?{kind}={key}" for kind, key in on.items())


def minted(client: Client, page: str, **asked: Any) -> dict[str, Any]:
    """Return the form as it is when shown, with a key of its own, filled in with ``asked``."""
    form = client.get(page).context["form"]
    shown = {field.name: field.value() for field in form}
    return {name: value for name, value in {**shown, "reason": "goodwill", **asked}.items() if value is not None}


def order(act: str, whom: Any, actor: User, subject: UUID | None = None, **asked: Any) -> Order:
    """Return an act as it is asked at noon, under a new key."""
    defaults = {"add": {"type": "promotion", "description": "", "expires_at": None, "unit_price": None}}
    return Order(
        act=ACTS[act],
        whom=whom,
        asked={**defaults.get(act, {}), **asked},
        actor=actor,
        at=NOON,
        reason="goodwill",
        key=str(uuid7()),
        subject=subject,
    )
