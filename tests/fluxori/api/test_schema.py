import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.support.factories.identity import UserFactory

METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture
def schema(api):
    return api().get("/api/schema").json()


class TestSchema:
    def test_is_valid_openapi_without_warnings(self, tmp_path):
        call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yaml"))

    def test_is_served_as_json_without_a_token(self, api):
        response = api().get("/api/schema")

        assert (response.status_code, response["Content-Type"]) == (200, "application/json")
        assert response.json()["openapi"].startswith("3.1")

    def test_has_the_problem_document_as_default_response_of_every_operation(self, schema):
        operations = [o for path in schema["paths"].values() for method, o in path.items() if method in METHODS]

        assert operations
        for operation in operations:
            assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]

    def test_has_camel_case_names(self, schema):
        assert set(schema["components"]["schemas"]["UserResponse"]["properties"]) == {
            "id",
            "email",
            "role",
            "externalId",
            "isActive",
            "createdAt",
        }
        listed = schema["paths"]["/api/users"]["get"]
        assert {p["name"] for p in listed["parameters"]} == {"email", "externalId", "limit", "cursor", "follow"}

    def test_has_no_default_of_a_property_because_types_generated_from_it_would_require_it(self, schema):
        components = schema["components"]["schemas"]

        assert not [(n, p) for n, c in components.items() for p, v in c.get("properties", {}).items() if "default" in v]

    def test_has_no_descriptions_for_programmers(self, schema):
        descriptions = [component.get("description", "") for component in schema["components"]["schemas"].values()]

        assert not [description for description in descriptions if "``" in description]

    def test_describes_every_path_under_api(self, schema):
        served = {path for path in paths_of(get_resolver()) if path.startswith("/api/")}

        assert served - {"/api/schema", "/api/docs"} == set(schema["paths"])


class TestDocs:
    def test_load_nothing_from_another_origin(self, api):
        response = api().get("/api/docs", headers={"accept": "text/html"})

        page = response.content.decode()
        assert response.status_code == 200
        assert "drf_spectacular_sidecar/swagger-ui-dist" in page
        assert "://" not in page.replace("http://www.w3.org", "")

    def test_need_no_token_and_ignore_one_that_is_not_valid(self, api):
        response = api().get("/api/docs", headers={"authorization": "Bearer x", "accept": "text/html"})

        assert response.status_code == 200


class TestPublicPages:
    @pytest.mark.parametrize("path", ["/api/docs", "/api/schema", "/health/live", "/health/ready"])
    @pytest.mark.parametrize("method", ["post", "options", "delete"])
    def test_answer_other_methods_with_a_problem_document(self, path, method):
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)

        response = getattr(client, method)(path)

        assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
        assert response["Content-Type"] == "application/problem+json"
        assert response.json()["code"] == "method_not_allowed"

    def test_are_limited_with_a_problem_document(self, api, settings):
        settings.THROTTLES = {**settings.THROTTLES, "anonymous": 1}

        responses = [api().get("/api/docs", headers={"accept": "text/html"}) for _ in range(2)]

        assert (responses[1].status_code, responses[1]["Content-Type"]) == (429, "application/problem+json")
        assert responses[1].json()["code"] == "throttled"


@pytest.mark.django_db
class TestNegotiation:
    def test_gives_json_to_a_caller_that_accepts_only_problem_documents(self, api):
        user = UserFactory.create()

        responses = [
            api(caller).get("/api/me", headers={"accept": "application/problem+json"}) for caller in (user, None)
        ]

        assert [(each.status_code, each["Content-Type"]) for each in responses] == [
            (200, "application/json"),
            (401, "application/problem+json"),
        ]

    @pytest.mark.parametrize("accept", ["text/html", "application/xml"])
    def test_rejects_a_caller_that_does_not_accept_json(self, api, accept):
        response = api().get("/api/me", headers={"accept": accept})

        assert (response.status_code, response["Content-Type"]) == (406, "application/problem+json")


def paths_of(resolver, prefix="/"):
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern).replace("<uuid:", "{").replace("<str:", "{").replace("<", "{").replace(
            ">", "}"
        )
        if isinstance(pattern, URLResolver) and "admin" not in path:
            yield from paths_of(pattern, path)
        elif isinstance(pattern, URLPattern) and "(" not in path:
            yield path
