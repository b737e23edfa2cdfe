"""Clients of the admin, and what a response of the admin shows."""

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
    """Return a client of a member of staff with these permissions, like ``credits.view_creditgrant``."""
    client = Client()
    user = User.objects.create_user(STAFF, is_staff=True)
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client.force_login(user)
    return client


def text_of(response: Any) -> str:
    """Return the HTML of a page, unescaped and without break opportunities."""
    return unescape(response.content.decode().replace("<wbr>", ""))


def count_queries(captured: Any) -> list[str]:
    """Return the captured statements that count a list, without the count of pending requests in the sidebar."""
    counts = [query["sql"] for query in captured.captured_queries if "COUNT(" in query["sql"]]
    return [sql for sql in counts if "'pending'" not in sql]


def messages_of(response: Any) -> list[str]:
    """Return the messages on the last page of a response."""
    return [str(message) for message in response.context["messages"]]


def logged_changes() -> list[str]:
    """Return the change messages of the admin log, oldest first."""
    return [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
