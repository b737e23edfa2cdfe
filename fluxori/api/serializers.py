"""Base classes of serializers: ``RequestSerializer``, ``QuerySerializer`` and ``ResponseSerializer``.

Fields are declared in snake_case and appear in JSON in camelCase. Django REST framework copies all declared fields for
every request; these classes create their fields once for each class and share them. Therefore fields must not depend
on the request: a serializer has no ``context``.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Self

from django.http import QueryDict
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import Field, SkipField, empty

from fluxori.api.errors import InvalidInputError
from fluxori.api.field_errors import field_errors
from fluxori.api.names import camel
from fluxori.core.errors import FieldError, InvalidRequestError

AnyField = Field[Any, Any, Any, Any]


class _CamelCaseSerializer(serializers.Serializer[Any]):
    """Names its fields in camelCase; their ``source`` is the declared name."""

    def get_fields(self) -> dict[str, AnyField]:
        renamed: dict[str, AnyField] = {}
        for name, field in super().get_fields().items():
            if isinstance(field, serializers.SerializerMethodField):
                field.method_name = field.method_name or f"get_{name}"
            elif camel(name) != name:
                field.source = field.source or name
            renamed[camel(name)] = field
        return renamed

    @classmethod
    @cache
    def shared(cls) -> Self:
        """Return the instance that holds the fields of this class, shared by all requests."""
        return cls()


class RequestSerializer(_CamelCaseSerializer):
    """A request body. Unknown fields are rejected, and all errors are reported together.

    ``parse`` returns the values by their declared names; an optional field that is missing and has no default is left
    out. ``validate`` may check several fields together: it receives those values and may raise ``InvalidInputError``.
    """

    @classmethod
    def parse(cls, data: Any) -> dict[str, Any]:
        """Return the validated values of a body.

        :raises InvalidInputError: a field is missing, unknown or invalid; each is named as the caller wrote it
        """
        serializer = cls()
        values: dict[str, Any] = serializer.validate(serializer.to_internal_value(data))
        return values

    def run_validation(self, data: Any = empty) -> Any:
        is_empty, data = self.validate_empty_values(data)
        return data if is_empty else self.validate(self.to_internal_value(data))

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            raise InvalidInputError([FieldError("", "wrong_type", "This must be a JSON object.")])
        given, errors = self._match_names(data)
        values: dict[str, Any] = {}
        for name, field in self.shared().fields.items():
            written_name, value = given.get(name, (name, empty))
            try:
                values[field.source or name] = field.run_validation(value)
            except SkipField:
                pass
            except ValidationError as error:
                errors += field_errors(error.get_full_details(), written_name)
            except InvalidRequestError as error:
                errors += [FieldError(f"{written_name}.{e.field}".rstrip("."), e.code, e.detail) for e in error.errors]
        if errors:
            raise InvalidInputError(errors)
        return values

    def _match_names(self, data: Mapping[str, Any]) -> tuple[dict[str, tuple[str, Any]], list[FieldError]]:
        """Return each known field's name as written and its value, by JSON name, and the errors in the names."""
        given: dict[str, tuple[str, Any]] = {}
        errors: list[FieldError] = []
        json_names = self._json_names()
        for written_name, value in data.items():
            name = json_names.get(written_name)
            if name is None:
                errors.append(FieldError(written_name, "unknown_field", "There is no such field."))
            elif name in given:
                errors.append(FieldError(written_name, "unknown_field", f"This is the same field as {given[name][0]}."))
            else:
                given[name] = (written_name, value)
        return given, errors

    @classmethod
    @cache
    def _json_names(cls) -> Mapping[str, str]:
        """Return the JSON name for every accepted name: the snake_case and the camelCase form of each field."""
        declared = cls._declared_fields
        return {name.rstrip("_"): camel(name) for name in declared} | {camel(name): camel(name) for name in declared}


class QuerySerializer(RequestSerializer):
    """The query string of a GET or DELETE request, validated like a body. A parameter may be given once only."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        return super().to_internal_value(self._convert(data))

    def _convert(self, params: QueryDict) -> dict[str, Any]:
        """Return the parameters as JSON values, by the names as written."""
        fields, json_names = self.shared().fields, self._json_names()
        values: dict[str, Any] = {}
        for written_name, texts in params.lists():
            field = fields.get(json_names.get(written_name, ""))
            values[written_name] = texts[-1] if field is None else _from_text(field, texts, written_name)
        return values


class EmptyRequest(RequestSerializer):
    """A body without fields."""


class EmptyQuery(QuerySerializer):
    """A query without parameters."""


def _from_text(field: Any, texts: Sequence[Any], written_name: str) -> Any:
    if len(texts) > 1:
        raise InvalidInputError([FieldError(written_name, "wrong_type", "This parameter is given twice.")])
    return field.from_text(texts[0])


class ResponseSerializer(_CamelCaseSerializer):
    """A response or part of one. Values come from an object's attributes or a mapping's keys, by the declared names.

    ``render`` returns a plain dict and leaves the values as they are: the renderer serializes ids, timestamps and
    decimals. A ``SerializerMethodField`` calls ``get_<declared name>``.
    """

    @classmethod
    def render(cls, instance: Any) -> dict[str, Any]:
        return {name: read(instance) for name, read in cls._readers().items()}

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return self.render(instance)

    @classmethod
    @cache
    def _readers(cls) -> Mapping[str, Callable[[Any], Any]]:
        return {name: _reader(field) for name, field in cls.shared().fields.items()}


def _reader(field: Any) -> Callable[[Any], Any]:
    """Return the function that reads a field's value from an instance."""
    get = _getter(field.source)
    if isinstance(field, serializers.SerializerMethodField | serializers.BaseSerializer):
        render: Callable[[Any], Any] = field.to_representation
        return lambda instance: None if (value := get(instance)) is None else render(value)
    return get


def _getter(source: str) -> Callable[[Any], Any]:
    if source == "*":
        return lambda instance: instance
    get_attribute = attrgetter(source)
    return lambda instance: instance[source] if isinstance(instance, Mapping) else get_attribute(instance)
