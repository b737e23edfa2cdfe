"""The OpenAPI 3.1 description of the API. Every operation has one default error response, the problem document."""

from functools import cache
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_lib_doc_excludes
from rest_framework import serializers

from fluxori.api.fields import Text
from fluxori.api.problems import public_page
from fluxori.api.rendering import to_json
from fluxori.api.serializers import QuerySerializer, RequestSerializer, ResponseSerializer

PROBLEM = "application/problem+json"

Direction = Literal["request", "response"]


class FieldErrorResponse(ResponseSerializer):
    field = Text(help_text="As the caller wrote it.")
    code = Text()
    detail = Text()


class ProblemResponse(ResponseSerializer):
    """A problem document (RFC 9457). The numbers and names behind an error are further members; see its code."""

    type = Text()
    title = Text()
    status = serializers.IntegerField()
    detail = Text()
    code = Text(help_text="Stable; listed in docs/reference/errors.md.")
    request_id = Text(allow_null=True)
    errors = FieldErrorResponse(  # type: ignore[assignment] # the framework has an attribute of that name
        many=True, required=False, help_text="Only with the code `invalid`: one entry for each invalid field."
    )


def undocumented_bases() -> list[type]:
    """Return the classes that end the search for a serializer's description: their docstrings are for programmers."""
    defaults: Any = get_lib_doc_excludes
    return [RequestSerializer, QuerySerializer, ResponseSerializer, *defaults()]


class Schema(AutoSchema):
    """Adds the problem document as the default response of every operation."""

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        make: Any = self._get_response_for_code
        problem = make(ProblemResponse, "default", media_types=[PROBLEM], direction=direction)
        return {**bodies, "default": {**problem, "description": "Rejected or failed"}}

    def get_tags(self) -> list[str]:
        """Group operations by the first part of the path: auth, credits, users."""
        first: str = self.path.removeprefix("/api/").split("/")[0]
        return [first]


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # it registers itself when defined
    target_class = "fluxori.api.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:  # noqa: ARG002
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


@public_page
def schema_view(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - the same for every caller
    return HttpResponse(_document(), "application/json")


@cache
def _document() -> bytes:
    """Return the document. It is generated once, because it is slow to make and cannot change in a process."""
    generator: Any = SchemaGenerator
    return to_json(generator().get_schema(request=None, public=True))
