from datetime import timedelta
from functools import partial

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from fluxori.core import clock
from fluxori.identity import accounts, one_time_tokens, operations, tokens
from fluxori.identity.errors import LoginBusyError, TokenNotValidError
from fluxori.identity.models import OneTimeToken, User
from tests.support.factories.identity import PASSWORD, AdminFactory, UserFactory
from tests.support.mail import mail_delivered, sent_token
from tests.support.threads import run_concurrently
from tests.support.times import NOON

pytestmark = pytest.mark.django_db

NEW = "another long password"


def codes(response):
    body = response.json()
    return response.status_code, body["code"], {error["field"]: error["code"] for error in body.get("errors", [])}


def log_in(api, email, password):
    return api().post("/api/auth/token", {"email": email, "password": password})


@pytest.fixture
def user():
    return UserFactory.create(email="me@example.com")


@pytest.fixture
def deliver():
    """Return a context manager that sends mail at its end, as the worker does."""
    return mail_delivered


def reset_token(api, deliver, email="me@example.com"):
    with deliver():
        assert api().post("/api/auth/password/reset", {"email": email}).status_code == 202
    return sent_token()


class TestChangePassword:
    def test_needs_the_present_password_and_ends_every_token(self, api, user, deliver):
        pair = tokens.issue(user)
        client = api(user)

        with deliver():
            response = client.post("/api/auth/password", {"current": PASSWORD, "new": NEW})

        assert (response.status_code, response.content) == (204, b"")
        assert client.get("/api/me").status_code == 401
        assert api().post("/api/auth/token/refresh", {"refresh": pair.refresh}).status_code == 401
        assert log_in(api, user.email, PASSWORD).status_code == 401
        access = log_in(api, user.email, NEW).json()["access"]
        assert api().get("/api/me", headers={"authorization": f"Bearer {access}"}).status_code == 200
        assert [(m.to, m.subject) for m in mail.outbox] == [(["me@example.com"], "Your password was changed")]

    def test_rejects_a_wrong_present_password(self, api, user):
        response = api(user).post("/api/auth/password", {"current": "wrong", "new": NEW})

        assert codes(response) == (401, "invalid_credentials", {})
        user.refresh_from_db()
        assert user.check_password(PASSWORD)

    def test_names_a_weak_new_password(self, api, user):
        response = api(user).post("/api/auth/password", {"current": PASSWORD, "new": "12345678"})

        assert codes(response) == (400, "invalid", {"new": "out_of_range"})

    def test_is_locked_after_repeated_failures(self, api, user, settings):
        settings.LOGIN_FAILURES = 2
        client = api(user)
        for _ in range(2):
            client.post("/api/auth/password", {"current": "wrong", "new": NEW})

        response = client.post("/api/auth/password", {"current": PASSWORD, "new": NEW})

        assert codes(response) == (429, "throttled", {})

    def test_needs_a_token(self, api):
        assert api().post("/api/auth/password", {"current": PASSWORD, "new": NEW}).status_code == 401


class TestResetPassword:
    def test_sets_the_password_with_the_token_of_the_mail(self, api, user, deliver):
        client, token = api(user), reset_token(api, deliver)

        response = api().post("/api/auth/password/reset/confirm", {"token": token, "password": NEW})

        assert response.status_code == 204
        assert client.get("/api/me").status_code == 401
        assert log_in(api, user.email, NEW).status_code == 200

    def test_the_mail_has_a_text_and_html_with_the_link(self, api, user, deliver, settings):
        settings.ACCOUNT_URL = "https://app.example/account"
        token = reset_token(api, deliver)

        [message] = mail.outbox
        assert message.to == ["me@example.com"]
        assert f"https://app.example/account/password#token={token}" in message.body
        assert isinstance(message, EmailMultiAlternatives)
        assert message.alternatives[0][1] == "text/html"

    def test_has_the_same_response_and_statements_for_every_address(self, api, user, deliver):
        UserFactory.create(email="passwordless@example.com", password=None)
        UserFactory.create(email="inactive@example.com", is_active=False)
        emails = ["me@example.com", "unknown@example.com", "passwordless@example.com", "inactive@example.com"]
        responses, statements = [], []

        with deliver():
            for email in emails:
                with CaptureQueriesContext(connection) as queries:
                    responses.append(api().post("/api/auth/password/reset", {"email": email}))
                statements.append(len(queries))

        assert len(set(statements)) == 1
        assert {(response.status_code, response.content) for response in responses} == {(202, b"")}
        assert [message.to for message in mail.outbox] == [["me@example.com"]]

    def test_finds_the_account_by_another_spelling_of_the_address(self, api, user, deliver):
        assert reset_token(api, deliver, "ME@Example.COM")

    def test_a_token_can_be_used_once(self, api, user, deliver):
        first, second = reset_token(api, deliver), reset_token(api, deliver)
        assert api().post("/api/auth/password/reset/confirm", {"token": first, "password": NEW}).status_code == 204

        for token in (first, second):
            response = api().post("/api/auth/password/reset/confirm", {"token": token, "password": NEW})
            assert codes(response) == (400, "token_used", {})

    def test_a_token_expires_after_an_hour(self, api, user, deliver, clock_at):
        clock_at(NOON)
        token = reset_token(api, deliver)
        clock_at(NOON + timedelta(hours=1))

        response = api().post("/api/auth/password/reset/confirm", {"token": token, "password": NEW})

        assert codes(response) == (400, "token_expired", {})

    def test_a_weak_password_is_named_and_does_not_use_the_token(self, api, user, deliver):
        token = reset_token(api, deliver)

        response = api().post("/api/auth/password/reset/confirm", {"token": token, "password": "password"})

        assert codes(response) == (400, "invalid", {"password": "out_of_range"})
        assert api().post("/api/auth/password/reset/confirm", {"token": token, "password": NEW}).status_code == 204

    def test_a_busy_hasher_does_not_use_the_token(self, user, deliver, api, monkeypatch):
        token = reset_token(api, deliver)

        def refuse(password):
            raise LoginBusyError

        monkeypatch.setattr(accounts, "make_password", refuse)
        with pytest.raises(LoginBusyError):
            accounts.set_password(token=token, password=NEW, at=clock.now())

        assert OneTimeToken.objects.get().used_at is None

    @pytest.mark.parametrize("token", ["x", "é" * 255])
    def test_rejects_an_unknown_token(self, api, token):
        response = api().post("/api/auth/password/reset/confirm", {"token": token, "password": NEW})

        assert codes(response) == (400, "invalid", {"token": "invalid_choice"})

    @pytest.mark.parametrize("change", ["password", "deactivate"])
    def test_a_later_change_makes_the_token_invalid(self, api, user, deliver, change):
        token = reset_token(api, deliver)
        if change == "password":
            accounts.change_password(user=user, current=PASSWORD, new=NEW, at=clock.now())
        else:
            operations.change_user(user_id=user.pk, is_active=False)

        response = api().post("/api/auth/password/reset/confirm", {"token": token, "password": "a third password"})

        assert response.status_code == 400

    def test_stores_no_token_that_can_be_used(self, api, user, deliver):
        token = reset_token(api, deliver)

        assert token not in str(OneTimeToken.objects.values_list())

    def test_sends_a_bounded_number_of_mails_in_an_hour(self, api, user, deliver):
        with deliver():
            for _ in range(one_time_tokens.MAX_PER_HOUR + 2):
                api().post("/api/auth/password/reset", {"email": user.email})

        assert len(mail.outbox) == one_time_tokens.MAX_PER_HOUR

    def test_requests_are_throttled_by_account(self, api, settings):
        settings.THROTTLES = {**settings.THROTTLES, "login": 2}

        responses = [api().post("/api/auth/password/reset", {"email": "me@example.com"}) for _ in range(3)]

        assert [response.status_code for response in responses] == [202, 202, 429]

    def test_without_a_mail_server_in_production_nothing_is_sent(self, api, user, deliver, settings):
        settings.EMAIL_IS_SENT = False

        with deliver():
            assert api().post("/api/auth/password/reset", {"email": user.email}).status_code == 202

        assert mail.outbox == []


@pytest.mark.django_db(transaction=True)
class TestResetPasswordConcurrently:
    def test_one_of_two_uses_of_a_token_succeeds(self, user):
        at = clock.now()
        token = one_time_tokens.create_token(user, OneTimeToken.Purpose.PASSWORD_RESET, at=at)
        assert token is not None

        results = run_concurrently([partial(accounts.set_password, token=token, password=NEW, at=at)] * 2)

        assert sorted(results, key=str) == [None, "token_used"]


class TestChangeEmail:
    def request_change(self, client, deliver, email="new@example.com"):
        with deliver():
            return client.post("/api/auth/email", {"email": email, "password": PASSWORD})

    def test_changes_the_address_when_the_new_one_is_confirmed_and_announces_it_at_the_old_one(
        self, api, user, deliver
    ):
        client = api(user)
        assert self.request_change(client, deliver, "New@Example.com").status_code == 202
        user.refresh_from_db()
        assert (user.email, mail.outbox[0].to) == ("me@example.com", ["new@example.com"])

        with deliver():
            response = client.post("/api/auth/email/confirm", {"token": sent_token()})

        assert response.status_code == 204
        assert client.get("/api/me").json()["email"] == "new@example.com"
        assert [message.to for message in mail.outbox[1:]] == [["me@example.com"]]
        assert "new@example.com" in mail.outbox[1].body

    def test_makes_a_reset_that_was_sent_to_the_old_address_invalid(self, api, user, deliver):
        reset, client = reset_token(api, deliver), api(user)
        self.request_change(client, deliver)
        client.post("/api/auth/email/confirm", {"token": sent_token()})

        response = api().post("/api/auth/password/reset/confirm", {"token": reset, "password": NEW})

        assert codes(response) == (400, "token_used", {})

    def test_rejects_a_wrong_password(self, api, user):
        response = api(user).post("/api/auth/email", {"email": "new@example.com", "password": "wrong"})

        assert codes(response) == (401, "invalid_credentials", {})

    @pytest.mark.parametrize(
        ("email", "expected"),
        [
            ("OTHER@example.com", (409, "email_taken", {})),
            ("ME@example.com", (400, "invalid", {"email": "invalid_choice"})),
            ("nothing", (400, "invalid", {"email": "wrong_type"})),
        ],
    )
    def test_rejects_an_address_that_cannot_be_used(self, api, user, deliver, email, expected):
        UserFactory.create(email="other@example.com")

        assert codes(self.request_change(api(user), deliver, email)) == expected
        assert mail.outbox == []

    def test_rejects_an_address_that_was_taken_before_the_confirmation(self, api, user, deliver):
        client = api(user)
        self.request_change(client, deliver)
        UserFactory.create(email="new@example.com")

        response = client.post("/api/auth/email/confirm", {"token": sent_token()})

        assert codes(response) == (409, "email_taken", {})

    def test_rejects_the_token_of_another_person_and_of_another_purpose(self, api, user, deliver):
        self.request_change(api(user), deliver)
        token, reset = sent_token(), reset_token(api, deliver)

        for client, wrong in ((api(UserFactory.create()), token), (api(user), reset)):
            response = client.post("/api/auth/email/confirm", {"token": wrong})
            assert codes(response) == (400, "invalid", {"token": "invalid_choice"})
        response = api().post("/api/auth/password/reset/confirm", {"token": token, "password": NEW})
        assert codes(response) == (400, "invalid", {"token": "invalid_choice"})

    def test_a_token_can_be_used_once_within_a_day(self, api, user, deliver, clock_at):
        client = api(user)
        self.request_change(client, deliver)
        token = sent_token()
        with clock.fixed(clock.now() + timedelta(days=1)):
            late = client.post("/api/auth/email/confirm", {"token": token})
        if late.status_code != 401:
            assert codes(late) == (400, "token_expired", {})
        assert client.post("/api/auth/email/confirm", {"token": token}).status_code == 204

        assert codes(client.post("/api/auth/email/confirm", {"token": token})) == (400, "token_used", {})


class TestEndSessions:
    def test_log_out_everywhere_ends_every_token_and_admin_session(self, api):
        user = AdminFactory.create(is_staff=True)
        other, client, browser = tokens.issue(user), api(user), Client()
        browser.force_login(user)
        assert browser.get(reverse("admin:index")).status_code == 200

        response = client.post("/api/auth/logout-all")

        assert (response.status_code, response.content) == (204, b"")
        assert client.get("/api/me").status_code == 401
        assert api().post("/api/auth/token/refresh", {"refresh": other.refresh}).status_code == 401
        assert browser.get(reverse("admin:index")).status_code == 302
        access = log_in(api, user.email, PASSWORD).json()["access"]
        assert api().get("/api/me", headers={"authorization": f"Bearer {access}"}).status_code == 200

    def test_log_out_everywhere_takes_no_fields(self, api, user):
        assert codes(api(user).post("/api/auth/logout-all", {"now": True})) == (
            400,
            "invalid",
            {"now": "unknown_field"},
        )

    def test_reuse_of_a_rotated_token_ends_every_session(self, api, user):
        stolen = tokens.issue(user).refresh
        renewed = tokens.rotate(stolen)

        assert api().post("/api/auth/token/refresh", {"refresh": stolen}).status_code == 401

        with pytest.raises(TokenNotValidError):
            tokens.user_from_access_token(renewed.access)
        with pytest.raises(TokenNotValidError):
            tokens.rotate(renewed.refresh)

    def test_reuse_of_a_token_of_ended_sessions_does_not_end_the_later_ones(self, user):
        old = tokens.issue(user).refresh
        tokens.rotate(old)
        accounts.end_sessions(user=user)
        later = tokens.log_in(email=user.email, password=PASSWORD)

        with pytest.raises(TokenNotValidError):
            tokens.rotate(old)

        assert tokens.user_from_access_token(later.access) == user

    def test_tokens_from_before_a_deactivation_stay_invalid(self, user):
        access = tokens.issue(user).access
        operations.change_user(user_id=user.pk, is_active=False)
        operations.change_user(user_id=user.pk, is_active=True)

        with pytest.raises(TokenNotValidError):
            tokens.user_from_access_token(access)

    def test_every_program_that_changes_the_password_ends_the_tokens(self, user):
        access = tokens.issue(user).access
        stale = User.objects.get(pk=user.pk)

        User.objects.filter(pk=user.pk).update(password="!")
        with pytest.raises(TokenNotValidError):
            tokens.user_from_access_token(access)
        stale.password = "!"
        stale.save()  # with the earlier generation

        with pytest.raises(TokenNotValidError):
            tokens.user_from_access_token(access)

    def test_a_login_that_stores_a_new_hash_of_the_password_is_valid(self, user, settings):
        settings.PASSWORD_HASHERS = [
            "django.contrib.auth.hashers.ScryptPasswordHasher",
            "django.contrib.auth.hashers.MD5PasswordHasher",
        ]

        pair = tokens.log_in(email=user.email, password=PASSWORD)

        assert tokens.user_from_access_token(pair.access).password.startswith("scrypt$")

    def test_a_member_of_staff_who_changes_the_own_password_stays_logged_in(self, client):
        client.force_login(User.objects.create_superuser("root@example.com", PASSWORD))
        other = Client()
        other.force_login(User.objects.get(email="root@example.com"))
        form = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}

        assert client.post(reverse("admin:password_change"), form).status_code == 302

        assert client.get(reverse("admin:index")).status_code == 200
        assert other.get(reverse("admin:index")).status_code == 302
