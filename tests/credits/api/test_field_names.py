"""Errors name each field as the caller wrote it, in ``errors`` and in ``detail``."""

import pytest

from tests.support.factories.credits import make_balance
from tests.support.factories.identity import AdminFactory, UserFactory

pytestmark = pytest.mark.django_db

ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def names_in(response):
    body = response.json()
    fields = [error["field"] for error in body["errors"]]
    assert [part.split(":")[0] for part in body["detail"].split("; ")] == fields
    return fields


@pytest.fixture
def user():
    user = UserFactory.create()
    make_balance(owner=user)
    return user


class TestFieldNames:
    @pytest.mark.parametrize("name", ["memberId", "member_id"])
    def test_of_an_argument_that_an_operation_rejects(self, api, user, name):
        response = api(user).put("/api/credits/limits", {name: ID, "period": "day", "amount": 5})

        assert names_in(response) == [name]

    def test_of_a_parameter_whose_python_name_is_another_one(self, api, user):
        response = api(user).get("/api/credits/usage?from=2999-01-01T00:00:00Z&to=2999-01-02T00:00:00Z")

        assert names_in(response) == ["from"]

    @pytest.mark.parametrize("name", ["memberId", "member_id"])
    def test_of_a_filter_of_a_list(self, api, user, name):
        assert names_in(api(user).get(f"/api/credits/history?{name}=x")) == [name]

    @pytest.mark.parametrize(
        ("names", "expected"), [(("userId", "organizationId"), "userId"), (("user_id", "organization_id"), "user_id")]
    )
    def test_of_the_owner(self, api, names, expected):
        body = {**dict.fromkeys(names, ID), "tier": "explorer"}

        assert names_in(api(AdminFactory.create()).post("/api/credits/initialize", body)) == [expected]

    def test_of_the_items_of_a_batch(self, api, user):
        items = [
            {"amount": 1, name: "x" * 256, "description": "An insight"} for name in ("referenceId", "reference_id")
        ]
        items += [{"amount": 1}]

        results = api(user).post("/api/credits/deduct/batch", {"items": items}).json()["results"]

        assert [result["body"]["errors"][0]["field"] for result in results] == [
            "referenceId",
            "reference_id",
            "description",
        ]
