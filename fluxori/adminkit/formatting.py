"""How credits, instants and ids are spelled for people who read pages."""

import re
from datetime import UTC, datetime
from typing import Any

from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.timezone import localtime

NOTHING = "-"
_BEHIND_A_MARK = re.compile("(?<=[@._])")


def format_credits(amount: int | None) -> str:
    """Return a count of credits for people, like 20,000."""
    return NOTHING if amount is None else f"{amount:,}"


def format_timestamp(at: datetime | None) -> str:
    """Return an instant for people, in the zone of whoever reads, and with it."""
    return NOTHING if at is None else date_format(localtime(at), "DATETIME_FORMAT")


def timestamp_html(at: datetime | None) -> str:
    """Return an instant as a page shows it: in the reader's zone, and in UTC where the pointer rests on it."""
    if at is None:
        return NOTHING
    utc = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return format_html(
        '<time class="console-time" datetime="{}" title="{}">{}</time>', at.isoformat(), utc, format_timestamp(at)
    )


def name_html(name: Any) -> str:
    """Return a name or an e-mail that breaks behind its marks where a column is narrow, before it breaks anywhere.

    >>> name_shown("a@b.example")
    'a@<wbr>b.<wbr>example<wbr>'
    """
    return format_html_join("", "{}<wbr>", ((part,) for part in _BEHIND_A_MARK.split(str(name))))


def id_html(key: Any) -> str:
    """Return an id with a button that copies it."""
    return format_html(
        '<span class="console-id"><code>{0}</code><button type="button" class="console-copy" data-copy="{0}"'
        ' aria-label="Copy {0}" title="Copy"><span class="material-symbols-outlined" aria-hidden="true">content_copy'
        "</span></button></span>",
        key,
    )
