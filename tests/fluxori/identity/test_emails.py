import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from fluxori.core.errors import InvalidRequestError
from fluxori.identity import operations, queries
from fluxori.identity.emails import normalize_email
from fluxori.identity.models import User
from tests.support.factories.identity import PASSWORD, AdminFactory, UserFactory

# Composed, decomposed, in capitals, as typed with full-width signs, and in ASCII: one domain.
SPELLINGS = [
    "thandi@münchen.example",
    "thandi@mu\u0308nchen.example",
    "Thandi@MÜNCHEN.Example",
    "thandi@\uff4dünchen\uff0eexample",
    "thandi@xn--mnchen-3ya.example",
    "thandi@XN--MNCHEN-3YA.example",
]


class TestNormalizeEmail:
    @pytest.mark.parametrize("text", SPELLINGS)
    def test_gives_all_spellings_of_a_domain_the_same_ascii_form(self, text):
        assert normalize_email(text) == "thandi@xn--mnchen-3ya.example"

    @pytest.mark.parametrize("text", ["a@b.example", "A@B.Example"])
    def test_is_lower_case(self, text):
        assert normalize_email(text) == "a@b.example"

    @pytest.mark.parametrize(
        "text", ["", "a", "ü@b.cd", "İ@b.cd", "\u017f@b.cd", "a@faß.de", "a@b\u200d.cd", "a@" + "b" * 64, "a@b..cd"]
    )
    def test_rejects_what_has_no_unambiguous_ascii_form(self, text):
        with pytest.raises(ValueError, match=r".*"):
            normalize_email(text)


@pytest.mark.django_db
class TestUsers:
    @pytest.mark.parametrize("text", SPELLINGS)
    def test_are_found_and_log_in_with_every_spelling(self, api, text):
        user = UserFactory.create(email=SPELLINGS[0])

        assert User.objects.get(email=text) == user
        assert queries.users_like(text, limit=5) == [user]
        assert api().post("/api/auth/token", {"email": text, "password": PASSWORD}).status_code == 200
        assert api(AdminFactory.create()).get("/api/users", {"email": text}).json()["results"][0]["id"] == str(user.pk)

    @pytest.mark.parametrize("text", SPELLINGS)
    def test_cannot_have_two_spellings_of_one_address(self, api, text):
        UserFactory.create(email=SPELLINGS[0])

        response = api(AdminFactory.create()).post("/api/users", {"email": text})

        assert (response.status_code, response.json()["code"]) == (409, "email_taken")

    def test_whose_address_differs_in_lower_case_between_python_and_postgresql_can_be_created(self, api):
        response = api(AdminFactory.create()).post("/api/users", {"email": "a@\ua7cb.example"})

        assert response.status_code == 201
        assert response.json()["email"].startswith("a@xn--")
        with connection.cursor() as cursor:
            cursor.execute('SELECT count(*) FROM identity_user WHERE email <> lower(email COLLATE "C")')
            assert cursor.fetchone() == (0,)

    def test_are_not_created_from_python_with_an_invalid_address(self):
        for email, code in [("nobody", "wrong_type"), ("a@" + "b." * 200 + "cd", "too_long")]:
            with pytest.raises(InvalidRequestError) as error:
                operations.create_user(email=email)
            assert [(each.field, each.code) for each in error.value.errors] == [("email", code)]

    def test_are_not_saved_in_a_form_with_an_ambiguous_address(self):
        with pytest.raises(ValidationError):
            User(email="a@faß.example", password="x").full_clean()
