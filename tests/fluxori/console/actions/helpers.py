"""Sending the forms of staff actions as the pages do: a preview first, then the confirmation."""

from credits.verification import verify_balance
from fluxori.console.models import StaffAction
from tests.support.admin import messages_of, text_of
from tests.support.staff import fill_form


def perform(client, url, **values):
    """Preview and confirm an action. Return the text of the preview, the message and the record."""
    form = fill_form(client, url, **values)
    preview = client.post(url, form)
    assert not StaffAction.objects.exists()
    confirmed = client.post(url, {**form, "confirmed": "yes"}, follow=True)
    assert confirmed.context["messages"], confirmed.context["form"].errors
    row = StaffAction.objects.get()
    assert verify_balance(row.balance_id).differences == ()
    [message, *_] = messages_of(confirmed)
    # The button says "Add 5 credits to ...", the message "Added 5 credits to ...".
    assert preview.context["preview"].button.split()[1:] == message.split(". Balance")[0].split()[1:]
    return text_of(preview), message, row


def rejection(client, url, **values):
    """Return the error of the form, which the preview and the confirmation both show."""
    form = fill_form(client, url, **values)
    in_preview = client.post(url, form).context["form"].non_field_errors()
    in_confirmation = client.post(url, {**form, "confirmed": "yes"}).context["form"].non_field_errors()
    assert in_preview == in_confirmation
    assert not StaffAction.objects.exists()
    return in_preview[0]
