"""Mail to the owners of accounts, from the templates in ``templates/mail``: a subject, a text and the same as HTML."""

from typing import Any

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

logger = structlog.get_logger("fluxori.identity")


def send(template: str, to: str, context: dict[str, Any]) -> None:
    """Send the mail ``template`` to one address. In production without ``EMAIL_URL``, log that none is sent.

    :raises OSError: the mail server cannot be reached, or does not accept the mail (``SMTPException``)
    """
    if not settings.EMAIL_IS_SENT:
        logger.warning("mail_not_configured", template=template)
        return
    subject = " ".join(render_to_string(f"mail/{template}.subject.txt", context).split())
    message = EmailMultiAlternatives(subject, render_to_string(f"mail/{template}.txt", context), to=[to])
    message.attach_alternative(render_to_string(f"mail/{template}.html", context), "text/html")
    message.send()
    logger.info("mail_sent", template=template)


def link(page: str, token: str) -> str:
    """Return the address of a page of the account. The token is in the fragment, which no server logs."""
    return f"{settings.ACCOUNT_URL}/{page}#token={token}"
