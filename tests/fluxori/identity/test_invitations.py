import pytest
from django.core import mail

from fluxori.identity.models import User
from tests.support.factories.identity import PASSWORD, AdminFactory, MembershipFactory, UserFactory
from tests.support.mail import mail_delivered, sent_token

pytestmark = pytest.mark.django_db

USERS = "/admin/identity/user/"


@pytest.fixture
def owner():
    return MembershipFactory.create(role="owner", organization__name="Kraal")


def members(owner):
    return f"/api/organizations/{owner.organization_id}/members"


class TestAddMember:
    def test_creates_and_invites_a_person_with_an_unknown_address(self, api, owner):
        with mail_delivered():
            response = api(owner.user).post(members(owner), {"email": "Sipho@example.com", "role": "member"})

        user = User.objects.get(email="sipho@example.com")
        assert response.status_code == 201
        assert response.json() == {"userId": str(user.pk), "email": "sipho@example.com", "role": "member"}
        assert not user.has_usable_password()
        [message] = mail.outbox
        assert (message.to, "as a member of Kraal" in str(message.body)) == (["sipho@example.com"], True)
        accepted = api().post("/api/auth/password/reset/confirm", {"token": sent_token(), "password": PASSWORD})
        assert accepted.status_code == 204
        assert api().post("/api/auth/token", {"email": user.email, "password": PASSWORD}).status_code == 200

    def test_adds_an_existing_person_without_an_invitation(self, api, owner):
        user = UserFactory.create(email="sipho@example.com", password=None)

        with mail_delivered():
            responses = [
                api(owner.user).post(members(owner), {"email": "SIPHO@example.com", "role": role})
                for role in ("member", "viewer")
            ]

        assert [response.status_code for response in responses] == [201, 200]
        assert responses[1].json() == {"userId": str(user.pk), "email": user.email, "role": "viewer"}
        assert mail.outbox == []

    @pytest.mark.parametrize("role", ["manager", "member", "viewer"])
    def test_is_for_owners(self, api, owner, role):
        member = MembershipFactory.create(organization=owner.organization, role=role)

        response = api(member.user).post(members(owner), {"email": "sipho@example.com", "role": "owner"})

        assert (response.status_code, User.objects.filter(email="sipho@example.com").exists()) == (403, False)

    def test_names_an_invalid_address_and_keeps_the_last_owner(self, api, owner):
        client = api(owner.user)

        invalid = client.post(members(owner), {"email": "nothing", "role": "member"})
        last = client.post(members(owner), {"email": owner.user.email, "role": "member"})

        assert invalid.json()["errors"][0]["field"] == "email"
        assert (last.status_code, last.json()["code"]) == (409, "last_owner")


class TestInvite:
    def test_an_admin_creates_a_user_with_an_invitation(self, api):
        with mail_delivered():
            response = api(AdminFactory.create()).post("/api/users", {"email": "new@example.com", "invite": True})

        assert response.status_code == 201
        assert [message.to for message in mail.outbox] == [["new@example.com"]]

    def test_a_password_and_an_invitation_exclude_each_other(self, api):
        payload = {"email": "new@example.com", "invite": True, "password": PASSWORD}

        response = api(AdminFactory.create()).post("/api/users", payload)

        assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [
            ("invite", "invalid_choice")
        ]

    def test_staff_create_a_user_with_an_invitation_and_send_it_again(self, client):
        client.force_login(User.objects.create_superuser("root@example.com", PASSWORD))
        form = {"email": "new@example.com", "role": "user", "external_id": "", "usable_password": "false"}
        with mail_delivered():
            assert client.post(f"{USERS}add/", {**form, "invite": "on"}).status_code == 302
        user = User.objects.get(email="new@example.com")

        with mail_delivered():
            rows = [user.pk, UserFactory.create().pk]
            client.post(USERS, {"action": "send_invitation", "_selected_action": rows})

        assert [message.to for message in mail.outbox] == [["new@example.com"]] * 2

    def test_staff_cannot_set_a_password_and_send_an_invitation(self, client):
        client.force_login(User.objects.create_superuser("root@example.com", PASSWORD))
        passwords = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
        form = {"email": "new@example.com", "role": "user", "external_id": "", "invite": "on", **passwords}

        response = client.post(f"{USERS}add/", form)

        assert "A person who is invited sets the password." in response.content.decode()

    def test_the_link_is_not_sent_to_a_person_who_has_a_password_by_now(self, api, owner):
        with mail_delivered():
            api(owner.user).post(members(owner), {"email": "sipho@example.com", "role": "member"})
            user = User.objects.get(email="sipho@example.com")
            user.set_password(PASSWORD)
            user.save()

        assert mail.outbox == []
