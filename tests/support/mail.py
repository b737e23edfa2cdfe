"""What was sent by e-mail in a test."""

import re

from django.core import mail


def sent_token() -> str:
    """Return the token in the link of the last mail."""
    match = re.search(r"#token=(\S+)", str(mail.outbox[-1].body))
    assert match is not None
    return match[1]
