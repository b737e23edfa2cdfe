"""Filters of lists, on top of django-filter: camelCase names, the project's own fields, unknown parameters rejected.

    class HistoryFilters(Filters):
        type = QueryFilter(Choice(CreditTransaction.Type.values))
        from_ = QueryFilter(Timestamp(), field_name="timestamp", lookup_expr="gte")

A view sets ``filterset_class = HistoryFilters`` and calls ``self.filter_queryset(queryset)``.
"""

from collections import OrderedDict
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError as FormError
from django.db.models import Model, QuerySet
from django.http import QueryDict
from django_filters import rest_framework as django_filters
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from fluxori.api.errors import InvalidInputError
from fluxori.api.field_errors import to_field_code
from fluxori.api.names import camel
from fluxori.core.errors import FieldError

M = TypeVar("M", bound=Model)

# Every list accepts these; the pagination reads them.
PAGINATION_PARAMETERS = frozenset({"limit", "cursor"})


class _QueryField(forms.Field):
    """A form field that validates the text of a query parameter with a field of ``fluxori.api.fields``."""

    def __init__(self, *, api_field: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._api_field = api_field

    def clean(self, value: Any) -> Any:
        if value is None:
            return None
        try:
            return self._api_field.run_validation(self._api_field.from_text(value))
        except ValidationError as error:
            details: Any = error.get_full_details()
            raise FormError(details[0]["message"], code=details[0]["code"]) from None


class QueryFilter(django_filters.Filter):  # type: ignore[misc] # django-filter has no types
    """A filter that parses its value with a field of ``fluxori.api.fields``."""

    field_class = _QueryField

    def __init__(self, api_field: Any, **kwargs: Any) -> None:
        super().__init__(api_field=api_field, **kwargs)
        extend_schema_field(api_field)(self)


class Filters(django_filters.FilterSet):  # type: ignore[misc]
    """A filter set declared in snake_case. A trailing underscore avoids a Python keyword, as in ``from_``."""

    @classmethod
    def get_filters(cls) -> "OrderedDict[str, Any]":
        return OrderedDict((camel(name), each) for name, each in super().get_filters().items())

    @classmethod
    def apply(cls, queryset: QuerySet[M], params: QueryDict) -> QuerySet[M]:
        """Return the rows of ``queryset`` that the parameters select.

        :raises InvalidInputError: a parameter is unknown, given twice, or has an invalid value
        """
        values, written_names = cls._by_name(params)
        filterset = cls(data=values, queryset=queryset)
        if not filterset.is_valid():
            raise InvalidInputError(
                FieldError(written_names.get(name, name), to_field_code(error.code or ""), "".join(error.messages))
                for name, errors in filterset.errors.as_data().items()
                for error in errors
            )
        filtered: QuerySet[M] = filterset.qs
        return filtered

    @classmethod
    def _by_name(cls, params: QueryDict) -> tuple[dict[str, str], dict[str, str]]:
        """Return the parameter values and the names that the caller wrote, by camelCase name."""
        errors: list[FieldError] = []
        values: dict[str, str] = {}
        written_names: dict[str, str] = {}
        for written_name, texts in params.lists():
            name = camel(written_name) if written_name.islower() else written_name
            if name not in cls.base_filters.keys() | PAGINATION_PARAMETERS:
                errors.append(FieldError(written_name, "unknown_field", "There is no such parameter."))
            elif len(texts) > 1 or name in values:
                errors.append(FieldError(written_name, "wrong_type", "This parameter is given twice."))
            values[name], written_names[name] = texts[-1], written_name
        if errors:
            raise InvalidInputError(errors)
        return values, written_names


class NoFilters(Filters):
    """For a list that has only the pagination parameters."""


class FilterBackend(django_filters.DjangoFilterBackend):  # type: ignore[misc]
    """Applies a view's ``filterset_class``. A list without one accepts only the pagination parameters."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filters: type[Filters] = getattr(view, "filterset_class", None) or NoFilters
        params = request.query_params.copy()
        if getattr(view, "followable", False):
            params.pop("follow", None)  # read by the pagination
        return filters.apply(queryset, params)
