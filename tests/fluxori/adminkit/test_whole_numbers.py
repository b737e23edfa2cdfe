import pytest
from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.test import RequestFactory

from fluxori.adminkit.whole_numbers import WholeNumberField
from fluxori.console.actions.catalogue import ACTIONS
from tests.support.factories.identity import UserFactory

# Not fields of decimals, which are a subclass of Django's field too.
NUMBERS = {forms.IntegerField, WholeNumberField}


class TestWholeNumberField:
    @pytest.mark.parametrize(("text", "number"), [("1", 1), (" 40 ", 40), ("-3", -3), (7, 7)])
    def test_accepts_digits(self, text, number):
        assert WholeNumberField().clean(text) == number

    @pytest.mark.parametrize("text", ["1.0", "1.", "1_000", "1,000", "\uff11", "1e3", "one", "0x1"])
    def test_rejects_every_other_spelling_of_a_number(self, text):
        with pytest.raises(ValidationError):
            WholeNumberField().clean(text)


class TestForms:
    def test_of_staff_actions_read_whole_numbers_strictly(self):
        fields = [field for action in ACTIONS.values() for field in action.form.base_fields.values()]
        numbers = [field for field in fields if type(field) in NUMBERS]

        assert numbers
        assert {type(field) for field in numbers} == {WholeNumberField}

    @pytest.mark.django_db
    def test_of_configuration_read_whole_numbers_strictly(self):
        request = RequestFactory().get("/")
        request.user = UserFactory.create(is_superuser=True, is_staff=True)
        pages = [page for page in admin.site._registry.values() if page.has_add_permission(request)]

        fields = [field for page in pages for field in page.get_form(request).base_fields.values()]

        numbers = [field for field in fields if type(field) in NUMBERS]
        assert len(numbers) >= 6
        assert {type(field) for field in numbers} == {WholeNumberField}
