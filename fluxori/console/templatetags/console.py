"""Template filters and tags of the console: formatting, and addresses of admin pages."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.utils.formats import date_format

from fluxori.adminkit import formatting
from fluxori.adminkit.formatting import format_credits, id_html, name_html, timestamp_html
from fluxori.console import links
from fluxori.console.saved_filters.operations import VisibleFilter, visible_filters

register = template.Library()


@register.filter(name="credits")
def credits_filter(amount: int | None) -> str:
    """Format a number of credits, like 20,000."""
    return format_credits(amount)


@register.filter
def signed(amount: int) -> str:
    """Format a movement with its sign. The minus is U+2212, which is as wide as the plus."""
    return f"{amount:+,}".replace("-", "\u2212")


@register.filter
def timestamp(at: datetime | None) -> str:
    """Show a timestamp in the time zone of the reader, with UTC as its tooltip."""
    return timestamp_html(at)


@register.filter
def expiry(at: datetime | None) -> str:
    """Show the expiry of a grant, ``Never`` included."""
    return formatting.expiry_html(at)


@register.filter
def is_never(at: datetime | None) -> bool:
    """Return whether a grant with this expiry never expires."""
    return at is None or formatting.is_never(at)


@register.filter
def day_of_week(at: datetime, form: str = "l") -> str:
    """Show the day of the week in the time zone of the reader: ``l`` for Monday, ``D`` for Mon."""
    return date_format(formatting.reader_time(at), form)


@register.filter
def name(value: Any) -> str:
    """Show a name or an e-mail address, which breaks after punctuation in a narrow column."""
    return name_html(value)


@register.filter
def copyable_id(key: Any) -> str:
    """Show an id with a button that copies it."""
    return id_html(key)


@register.filter
def rand(amount: Decimal) -> str:
    """Format an amount of rand, like R1,250.00."""
    minus = "\u2212" if amount < 0 else ""
    return f"{minus}R{abs(amount):,.2f}"


@register.simple_tag
def change_url(label: str, key: Any) -> str:
    """Return the address of the page of one row. ``label`` is like ``credits_creditgrant``."""
    return links.change_url(label, key)


@register.simple_tag
def action_url(code: str, balance_id: Any, **params: Any) -> str:
    """Return the address of the form of a staff action."""
    return links.action_url(code, balance_id, **params)


@register.simple_tag(takes_context=True)
def saved_filters(context: Any, model_label: str) -> list[VisibleFilter]:
    """Return the saved filters of a list that the user can see. ``model_label`` is like ``credits.creditgrant``."""
    return visible_filters(model_label, staff=context["request"].user)


@register.filter
def is_saved_in(query: str, filters: list[VisibleFilter]) -> bool:
    """Return whether a filter is one of the saved filters."""
    return query in {saved.query for saved in filters}
