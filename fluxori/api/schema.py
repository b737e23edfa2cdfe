"""The API described for machines: OpenAPI 3.1, with one shape for everything that is refused."""

from functools import cache
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

from fluxori.api.fields import Text
from fluxori.api.rendering import to_json
from fluxori.api.serializers import Out

PROBLEM = "application/problem+json"

Direction = Literal["request", "response"]


class FieldFaultOut(Out):
    field = Text(help_text="As the caller wrote it.")
    code = Text()
    detail = Text()


class ProblemOut(Out):
    """A problem document (RFC 9457). The facts behind it are further members, named by its code."""

    type = Text()
    title = Text()
    status = serializers.IntegerField()
    detail = Text()
    code = Text(help_text="Stable; listed in docs/reference/errors.md.")
    request_id = Text(allow_null=True)
    errors = FieldFaultOut(  # type: ignore[assignment] # the framework has an attribute of that name
        many=True, required=False, help_text="With the code `invalid`: each field that is wrong."
    )


class Schema(AutoSchema):
    """Says of every operation that whatever is not listed is a problem document."""

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        make: Any = self._get_response_for_code
        problem = make(ProblemOut, "default", media_types=[PROBLEM], direction=direction)
        return {**bodies, "default": {**problem, "description": "Refused, or failed"}}

    def get_tags(self) -> list[str]:
        """Group by the first part of the path: auth, credits, users."""
        first: str = self.path.removeprefix("/api/").split("/")[0]
        return [first]


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # it registers itself
    target_class = "fluxori.api.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:  # noqa: ARG002
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


@require_safe
def schema_view(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - the same for everybody
    return HttpResponse(_document(), "application/json")


@cache
def _document() -> bytes:
    """Return the document. It cannot change while the process lives, and takes a while to make."""
    make: Any = SchemaGenerator
    return to_json(make().get_schema(request=None, public=True))
