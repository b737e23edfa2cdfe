"""Two-factor login: set-up, the page for the code, recovery codes, and approvals that need it."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from fluxori.console.approvals import operations as approvals
from fluxori.console.models import ManualCreditCeiling
from fluxori.identity import tokens
from fluxori.identity.models import User
from tests.support.factories.credits import make_balance
from tests.support.factories.identity import PASSWORD
from tests.support.staff import action_request, client_of, make_staff
from tests.support.two_factor import code_of, wrong_code

pytestmark = pytest.mark.django_db

SET_UP = "/admin/two-factor/"
VERIFY = "/admin/two-factor/verify/"


@pytest.fixture
def root():
    return User.objects.create_superuser("root@staff.test", PASSWORD)


def set_up(client):
    """Turn two-factor login on, and return the key and the recovery codes."""
    key = client.get(SET_UP).context["key"]
    return key, client.post(SET_UP, {"code": code_of(key)}).context["codes"]


def session_of(user):
    """Return a client with a new session, of the present generation of the user."""
    return client_of(User.objects.get(pk=user.pk))


def new_session(user):
    client = session_of(user)
    assert client.get(reverse("admin:index")).status_code == 302
    return client


def is_inside(client) -> bool:
    response = client.get(reverse("admin:index"))
    return bool(response.status_code == 200)


class TestSetUp:
    def test_shows_the_key_as_a_qr_code_and_as_text(self, root):
        response = client_of(root).get(SET_UP)

        page = response.content.decode()
        assert "<svg" in page
        assert response.context["key"] in page
        assert "no-store" in response["Cache-Control"]

    def test_a_code_of_the_app_turns_it_on_and_shows_recovery_codes_once(self, root):
        client = client_of(root)

        _, codes = set_up(client)

        assert len(set(codes)) == 10
        assert is_inside(client)
        page = client.get(SET_UP).content.decode()
        assert "10 recovery codes left" in page
        assert codes[0] not in page
        assert not StaticToken.objects.filter(token__in=codes).exists()

    def test_a_wrong_code_turns_nothing_on(self, root):
        client = client_of(root)
        key = client.get(SET_UP).context["key"]

        for code in (wrong_code(key), "", "abc", "\u0661" * 6):
            assert client.post(SET_UP, {"code": code}).context["form"].errors
        assert not TOTPDevice.objects.exists()

    def test_ends_all_other_sessions_and_tokens(self, root, api):
        other, bearer = client_of(root), api(root)

        set_up(client_of(root))

        assert not is_inside(other)
        assert bearer.get("/api/me").status_code == 401
        assert api().post("/api/auth/token", {"email": root.email, "password": PASSWORD}).status_code == 200


class TestVerify:
    def test_a_session_sees_nothing_of_the_admin_before_the_code(self, root):
        key, _ = set_up(client_of(root))
        client = new_session(root)

        for path in (reverse("admin:identity_user_changelist"), "/admin/find/", SET_UP):
            assert client.get(path)["Location"].startswith(VERIFY)
        assert client.post(SET_UP, {"turn_off": "1"})["Location"].startswith(VERIFY)
        assert "Balances" not in client.get(VERIFY).content.decode()
        assert client.post(VERIFY, {"code": code_of(key, later=1)})["Location"] == reverse("admin:index")
        assert is_inside(client)

    def test_continues_to_the_page_that_was_opened_and_to_no_other_site(self, root):
        key, _ = set_up(client_of(root))
        page = session_of(root).get("/admin/find/?q=a")["Location"]

        response = session_of(root).post(page, {"code": code_of(key, later=1)})

        assert response["Location"] == "/admin/find/?q=a"
        TOTPDevice.objects.update(last_t=-1)
        response = session_of(root).post(f"{VERIFY}?next=//evil.example/", {"code": code_of(key, later=1)})
        assert response["Location"] == reverse("admin:index")

    def test_a_code_is_valid_once(self, root):
        key, _ = set_up(client_of(root))
        code = code_of(key, later=1)
        assert new_session(root).post(VERIFY, {"code": code}).status_code == 302

        assert new_session(root).post(VERIFY, {"code": code}).context["form"].errors

    def test_after_a_wrong_code_the_next_one_waits(self, root):
        key, _ = set_up(client_of(root))
        client = new_session(root)
        client.post(VERIFY, {"code": wrong_code(key)})

        assert client.post(VERIFY, {"code": code_of(key, later=1)}).context["form"].errors

    def test_a_recovery_code_is_valid_once(self, root):
        _, codes = set_up(client_of(root))
        client = new_session(root)

        client.post(VERIFY, {"code": f" {codes[0].upper()} "})

        assert is_inside(client)
        assert new_session(root).post(VERIFY, {"code": codes[0]}).context["form"].errors

    def test_a_person_can_log_out_instead(self, root):
        set_up(client_of(root))

        assert new_session(root).post(reverse("admin:logout")).status_code == 200

    def test_the_code_of_another_person_is_wrong(self, root):
        other = User.objects.create_superuser("other@staff.test", PASSWORD)
        key, _ = set_up(client_of(other))
        set_up(client_of(root))

        assert new_session(root).post(VERIFY, {"code": code_of(key, later=1)}).context["form"].errors


class TestManage:
    def test_new_recovery_codes_replace_the_earlier_ones(self, root):
        client = client_of(root)
        key, codes = set_up(client)

        renewed = client.post(SET_UP, {"code": code_of(key, later=1), "renew": "1"}).context["codes"]

        assert set(renewed).isdisjoint(codes)
        assert new_session(root).post(VERIFY, {"code": codes[0]}).context["form"].errors

    def test_needs_a_code_to_turn_it_off(self, root):
        client = client_of(root)
        key, _ = set_up(client)
        client.post(SET_UP, {"code": "x", "turn_off": "1"})
        assert TOTPDevice.objects.exists()

        assert client.post(SET_UP, {"code": code_of(key, later=1), "turn_off": "1"}).status_code == 302

        assert is_inside(client)
        assert is_inside(session_of(root))

    def test_a_superuser_turns_it_off_for_a_person_who_lost_the_device(self, root):
        staff = make_staff("support")
        set_up(client_of(staff))
        session = new_session(staff)
        users = reverse("admin:identity_user_changelist")

        client_of(root).post(users, {"action": "remove_two_factor", "_selected_action": [staff.pk]})

        assert not TOTPDevice.objects.exists()
        assert session.get(reverse("admin:index"))["Location"].startswith(reverse("admin:login"))

    def test_no_one_sees_the_keys_in_the_admin(self, root):
        assert client_of(root).get("/admin/otp_totp/totpdevice/").status_code == 404


class TestApprovals:
    @pytest.fixture
    def lead(self, settings):
        settings.TWO_FACTOR_FOR_APPROVALS = True
        return make_staff("support lead")

    def request_page(self):
        request = action_request("add", make_balance().user, make_staff("support"), amount=900)
        row = approvals.request_approval(request).row
        return row, reverse("admin:console_approvalrequest_change", args=[row.pk])

    def test_need_a_session_with_two_factor_login(self, lead):
        (row, page), client = self.request_page(), client_of(lead)

        response = client.post(page, {"decision": "approve", "note": ""})

        row.refresh_from_db()
        assert (response["Location"], row.status) == (SET_UP, "pending")
        set_up(client)
        client.post(page, {"decision": "approve", "note": ""})
        row.refresh_from_db()
        assert row.status == "approved"

    def test_a_request_can_be_declined_without_it(self, lead):
        row, page = self.request_page()

        client_of(lead).post(page, {"decision": "decline", "note": "Not now"})

        row.refresh_from_db()
        assert row.status == "declined"

    def test_the_setting_turns_it_off(self, lead, settings):
        settings.TWO_FACTOR_FOR_APPROVALS = False
        row, page = self.request_page()

        client_of(lead).post(page, {"decision": "approve", "note": ""})

        row.refresh_from_db()
        assert row.status == "approved"

    def test_an_increase_of_a_ceiling_needs_it_too(self, lead, root):
        ceiling = ManualCreditCeiling.objects.get(group=Group.objects.get(name="support"))
        other = User.objects.create_superuser("other@staff.test", PASSWORD)
        ceiling.proposed_per_action, ceiling.proposed_per_day, ceiling.proposed_by = 9_000, 9_000, other
        ceiling.save()
        form = {"decision": "confirm", "per_action": 9_000, "per_day": 9_000, "proposed_by": other.pk}

        response = client_of(root).post(reverse("admin:console_manualcreditceiling_raise", args=[ceiling.pk]), form)

        assert response["Location"] == SET_UP


class TestSessions:
    def test_the_password_form_leads_to_the_page_for_the_code(self, root):
        set_up(client_of(root))
        client = Client()

        response = client.post(
            reverse("admin:login"), {"username": root.email, "password": PASSWORD, "next": "/admin/"}, follow=True
        )

        assert response.redirect_chain[-1][0].startswith(VERIFY)

    def test_the_api_does_not_ask_for_a_code(self, root, api):
        set_up(client_of(root))

        assert tokens.log_in(email=root.email, password=PASSWORD)
