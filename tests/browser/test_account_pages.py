"""The pages to which the links in mails lead, in a browser."""

import pytest

from fluxori.core import clock
from fluxori.identity import one_time_tokens
from fluxori.identity.models import OneTimeToken, User
from tests.browser.conftest import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NEW = "another long password"


@pytest.fixture
def user():
    return User.objects.create_superuser("me@example.test", PASSWORD)


class TestPasswordPage:
    def test_sets_the_password_with_the_token_of_the_link(self, user, log_in):
        token = one_time_tokens.create_token(user, OneTimeToken.Purpose.PASSWORD_RESET, at=clock.now())
        page = log_in(user.email).page
        page.goto(f"/account/password#token={token}")
        assert "token" not in page.url

        page.fill("input[name=password]", NEW)
        page.get_by_role("button").click()
        page.get_by_text("The password is set.").wait_for()

        user.refresh_from_db()
        assert user.check_password(NEW)


class TestEmailPage:
    def test_confirms_the_new_address_after_a_login(self, user, log_in):
        purpose = OneTimeToken.Purpose.EMAIL_CHANGE
        token = one_time_tokens.create_token(user, purpose, at=clock.now(), email="new@example.test")
        page = log_in(user.email).page
        page.goto(f"/account/email#token={token}")

        page.fill("input[name=email]", user.email)
        page.fill("input[name=password]", PASSWORD)
        page.get_by_role("button").click()
        page.get_by_text("The address is changed.").wait_for()

        user.refresh_from_db()
        assert user.email == "new@example.test"
