"""What comes in (``In``, ``Query``) and what goes out (``Out``): declared in snake_case, spelled in camelCase.

The framework copies every declared field for every request. These classes bind their fields once per class instead,
so fields must not depend on the request: a serializer has no ``context`` here.
"""

from collections.abc import Callable, Iterable, Mapping
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


class _Named(serializers.Serializer[Any]):
    """Fields stand under their wire names; what they read and write is the declared name."""

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
    def bound(cls) -> Self:
        """Return the one instance that holds this class's fields, shared by every request."""
        return cls()


class In(_Named):
    """A body. Unknown fields are refused by name, everything wrong is told at once.

    ``read`` returns the understood values under their declared names; a field left out and without default is absent.
    ``validate`` may check fields together: it gets those values, and raises ``InvalidInputError``.

    :raises BadInput: naming each field as the caller wrote it
    """

    @classmethod
    def read(cls, data: Any) -> dict[str, Any]:
        reader = cls()
        understood: dict[str, Any] = reader.validate(reader.to_internal_value(data))
        return understood

    def run_validation(self, data: Any = empty) -> Any:
        is_empty, data = self.validate_empty_values(data)
        return data if is_empty else self.validate(self.to_internal_value(data))

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            raise InvalidInputError([FieldError("", "wrong_type", "This must be a JSON object.")])
        given, faults = self._sorted_out(data)
        values: dict[str, Any] = {}
        for name, field in self.bound().fields.items():
            written, value = given.get(name, (name, empty))
            try:
                values[field.source or name] = field.run_validation(value)
            except SkipField:
                pass
            except ValidationError as refusal:
                faults += field_errors(refusal.get_full_details(), written)
            except InvalidRequestError as refusal:
                faults += [FieldError(f"{written}.{e.field}".rstrip("."), e.code, e.detail) for e in refusal.errors]
        if faults:
            raise InvalidInputError(faults)
        return values

    def _sorted_out(self, data: Mapping[str, Any]) -> tuple[dict[str, tuple[str, Any]], list[FieldError]]:
        """Return each known field as (its spelling, its value), and what is wrong with the names."""
        given: dict[str, tuple[str, Any]] = {}
        faults: list[FieldError] = []
        spellings = self._spellings()
        for written, value in data.items():
            name = spellings.get(written)
            if name is None:
                faults.append(FieldError(written, "unknown_field", "There is no such field here."))
            elif name in given:
                faults.append(FieldError(written, "unknown_field", f"{given[name][0]} says the same; give one."))
            else:
                given[name] = (written, value)
        return given, faults

    @classmethod
    @cache
    def _spellings(cls) -> Mapping[str, str]:
        """Return every accepted spelling with the wire name it stands for."""
        declared = cls._declared_fields
        return {name.rstrip("_"): camel(name) for name in declared} | {camel(name): camel(name) for name in declared}


class Query(In):
    """The query of a GET or DELETE, as strict as a body. A parameter that stands twice is refused.

    :raises BadInput: naming each parameter as the caller wrote it
    """

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        return super().to_internal_value(self._typed(data))

    def _typed(self, params: QueryDict) -> dict[str, Any]:
        fields, spellings = self.bound().fields, self._spellings()
        typed: dict[str, Any] = {}
        for written, texts in params.lists():
            field = fields.get(spellings.get(written, ""))
            typed[written] = texts[-1] if field is None else _from_text(field, texts, written)
        return typed


def _from_text(field: Any, texts: Iterable[Any], written: str) -> Any:
    text, *more = texts
    if more:
        raise InvalidInputError([FieldError(written, "wrong_type", "This stands twice in the query; give it once.")])
    return field.from_text(text)


class Out(_Named):
    """An answer, read from an object's attributes or a mapping's keys under the declared names.

    Values go out as they are: the renderer spells ids, instants and decimals. ``of`` returns the plain dict.
    A ``SerializerMethodField`` calls ``get_<declared name>``.
    """

    @classmethod
    def of(cls, instance: Any) -> dict[str, Any]:
        return {name: read(instance) for name, read in cls._readers().items()}

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return self.of(instance)

    @classmethod
    @cache
    def _readers(cls) -> Mapping[str, Callable[[Any], Any]]:
        return {name: _reader(field) for name, field in cls.bound().fields.items()}


def _reader(field: Any) -> Callable[[Any], Any]:
    found = _getter(field.source)
    if isinstance(field, serializers.SerializerMethodField | serializers.BaseSerializer):
        shape: Callable[[Any], Any] = field.to_representation
        return lambda instance: None if (value := found(instance)) is None else shape(value)
    return found


def _getter(source: str) -> Callable[[Any], Any]:
    if source == "*":
        return lambda instance: instance
    attribute = attrgetter(source)
    return lambda instance: instance[source] if isinstance(instance, Mapping) else attribute(instance)
