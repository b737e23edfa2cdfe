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


def form_of(client: Client, url: str, **changes: Any) -> dict[str, Any]:
    """Return the data of the form on an admin page, as a browser sends it, with ``changes``."""
    context = client.get(url).context
    forms = [context["adminform"].form]
    for inline in context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    data: dict[str, Any] = {}
    for form in forms:
        for field in form:
            value = field.value() if form.is_bound else form.get_initial_for_field(field.field, field.name)
            if value is not None and value is not False:
                rows = isinstance(value, list)
                data[field.html_name] = [getattr(row, "pk", row) for row in value] if rows else value
    hidden = {"_version": context.get("version"), "_new_id": context.get("new_id")}
    return {**data, **{name: value for name, value in hidden.items() if value}, **changes}


def version_of(client: Client, url: str) -> dict[str, str]:
    """Return the field with which a change form names the version of the row that it shows."""
    return {"_version": client.get(url).context["version"]}


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
