"""Text and HTML for credits, timestamps, names, ids and links on admin pages.

``format_*`` functions return plain text; ``*_html`` functions return escaped, safe HTML. Timestamps are in the time
zone of the reader, which ``fluxori.console.middleware`` activates.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.timezone import localtime

NOTHING = "-"
NEVER = "Never"
# Other systems write the end of the calendar for "never". An instant from here on is shown as never, also because it
# may not exist in the time zone of the reader.
NEVER_FROM = datetime(9000, 1, 1, tzinfo=UTC)
_AFTER_PUNCTUATION = re.compile("(?<=[@._])")


def format_credits(amount: int | None) -> str:
    """Return a number of credits with thousands separators, like 20,000."""
    return NOTHING if amount is None else f"{amount:,}"


def format_credit_count(amount: int) -> str:
    """Return the absolute number of credits with its unit.

    >>> format_credit_count(-1), format_credit_count(2000)
    ('1 credit', '2,000 credits')
    """
    amount = abs(amount)
    return f"{amount:,} credit" if amount == 1 else f"{amount:,} credits"


def is_never(at: datetime | None) -> bool:
    """Return whether a timestamp is so late that it means never."""
    return at is not None and at >= NEVER_FROM


def reader_time(at: datetime) -> datetime:
    """Return a timestamp in the time zone of the reader, or in UTC at the ends of the calendar."""
    try:
        return localtime(at)
    except OverflowError:
        return at.astimezone(UTC)


def format_timestamp(at: datetime | None) -> str:
    """Return a timestamp in the time zone of the reader, followed by the name of the zone, or ``Never``."""
    if at is None:
        return NOTHING
    return NEVER if is_never(at) else date_format(reader_time(at), "DATETIME_FORMAT")


def format_expiry(at: datetime | None) -> str:
    """Return the expiry of a grant as :func:`format_timestamp` does. A grant without an expiry never expires."""
    return NEVER if at is None else format_timestamp(at)


def describe_expiry(at: datetime | None) -> str:
    """Return the expiry of a grant as a part of a sentence, like ``expires 3 Mar 2025 12:00:00 UTC``."""
    return "never expires" if at is None or is_never(at) else f"expires {format_timestamp(at)}"


def expiry_html(at: datetime | None) -> str:
    """Return the expiry of a grant as :func:`timestamp_html` does. A grant without an expiry never expires."""
    return NEVER if at is None else timestamp_html(at)


def timestamp_html(at: datetime | None) -> str:
    """Return a timestamp in the time zone of the reader, or ``Never``, with UTC as its tooltip."""
    if at is None:
        return NOTHING
    utc = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return format_html(
        '<time class="console-time" datetime="{}" title="{}">{}</time>', at.isoformat(), utc, format_timestamp(at)
    )


def name_html(name: Any) -> str:
    """Return a name or an e-mail address. In a narrow column it breaks after punctuation first.

    >>> name_html("a@b.example")
    'a@<wbr>b.<wbr>example<wbr>'
    """
    return format_html_join("", "{}<wbr>", ((part,) for part in _AFTER_PUNCTUATION.split(str(name))))


def id_html(key: Any) -> str:
    """Return an id with a button that copies it."""
    return format_html(
        '<span class="console-id"><code>{0}</code><button type="button" class="console-copy" data-copy="{0}"'
        ' aria-label="Copy {0}" title="Copy"><span class="material-symbols-outlined" aria-hidden="true">content_copy'
        "</span></button></span>",
        key,
    )


def facts_html(facts: Iterable[tuple[str, str]]) -> str:
    """Return (name, value) pairs, one per line."""
    html = format_html_join("", "<div>{} {}</div>", ((name.replace("_", " "), value) for name, value in facts))
    return html or NOTHING


def object_link_html(row: Model | None) -> str:
    """Return a link to the admin page of ``row``, or its plain name if it has no page."""
    if row is None:
        return NOTHING
    label = row._meta.label_lower  # noqa: SLF001 - Django documents it
    return change_link_html(label, row.pk, str(row))


def change_link_html(label: str, key: Any, text: str) -> str:
    """Return a link to the admin page of the row with this key. ``label`` is like ``credits.creditgrant``."""
    try:
        return link_html(reverse(f"admin:{label.replace('.', '_')}_change", args=[key]), text)
    except NoReverseMatch:
        return text


def changelist_link_html(label: str, text: str, **filters: Any) -> str:
    """Return a link to the filtered list of a model. ``label`` is like ``credits_creditgrant``."""
    return link_html(f"{reverse(f'admin:{label}_changelist')}?{urlencode(filters)}", text)


def link_html(url: str, text: str) -> str:
    """Return a link in the style of the admin."""
    return format_html('<a class="text-primary-600 dark:text-primary-500 hover:underline" href="{}">{}</a>', url, text)
