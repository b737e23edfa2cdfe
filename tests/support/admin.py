"""A member of staff at the admin, and what they see there."""

from html import unescape
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from fluxori.identity.models import User

STAFF = "staff@example.test"


def superuser_client() -> Client:
    """Return a client logged in as a superuser."""
    client = Client()
    client.force_login(User.objects.create_superuser(STAFF))
    return client


def staff_client(*permissions: str) -> Client:
    """Return a client logged in as somebody of staff who has these permissions, like ``credits.view_creditgrant``."""
    client = Client()
    person = User.objects.create_user(STAFF, is_staff=True)
    for permission in permissions:
        app, codename = permission.split(".")
        person.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client.force_login(person)
    return client


def words(answer: Any) -> str:
    """Return the page as it reads."""
    return unescape(answer.content.decode().replace("<wbr>", ""))


def counted(asked: Any) -> list[str]:
    """Return the statements that counted a list; what waits for approval is few, and counted in the sidebar."""
    found = [query["sql"] for query in asked.captured_queries if "COUNT(" in query["sql"]]
    return [sql for sql in found if "'pending'" not in sql]


def said(answer: Any) -> list[str]:
    """Return the messages on the page that was reached in the end."""
    return [str(message) for message in answer.context["messages"]]


def logged() -> list[str]:
    """Return what the log of staff says, oldest first."""
    return [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
