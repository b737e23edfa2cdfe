"""How the console's pages spell credits, instants and ids, and link to what may be looked at or done."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template

from fluxori.adminkit.formatting import format_credits, id_html, name_html, timestamp_html
from fluxori.console import links
from fluxori.console.saved_filters.operations import Kept, filters_of

register = template.Library()


@register.filter
def credits_(amount: int | None) -> str:
    """Spell a count of credits, like 20,000."""
    return format_credits(amount)


@register.filter
def signed(amount: int) -> str:
    """Spell a movement with its sign, like -1,250; with a real minus, which lines up with the plus."""
    return f"{amount:+,}".replace("-", "\u2212")


@register.filter
def shown_at(at: datetime | None) -> str:
    """Show an instant in the reader's zone, with UTC where the pointer rests."""
    return timestamp_html(at)


@register.filter
def named(name: Any) -> str:
    """Show a name or an e-mail that breaks behind its marks."""
    return name_html(name)


@register.filter
def copyable(key: Any) -> str:
    """Show an id with a button that copies it."""
    return id_html(key)


@register.simple_tag
def row_url(label: str, key: Any) -> str:
    """Return the address of one row, ``label`` being like ``credits_creditgrant``."""
    return links.page(label, key)


@register.simple_tag
def act_url(name: str, balance_id: Any, **on: Any) -> str:
    """Return the address of the page of an act."""
    return links.act(name, balance_id, **on)


@register.filter
def money(amount: Decimal) -> str:
    """Spell an amount of rand, like R1,250.00."""
    minus = "\u2212" if amount < 0 else ""
    return f"{minus}R{abs(amount):,.2f}"


@register.simple_tag(takes_context=True)
def kept_filters(context: Any, of_list: str) -> list[Kept]:
    """Return the saved filters of a list, like ``credits.creditgrant``, that the reader sees."""
    return filters_of(of_list, staff=context["request"].user)


@register.filter
def kept_in(chosen: str, kept: list[Kept]) -> bool:
    """Whether the filter of this page is among the saved ones."""
    return chosen in {one.query for one in kept}
