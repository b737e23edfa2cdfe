"""django-filter, as strict as a body: camelCase names, unknown parameters refused, our own field types.

    class HistoryFilters(Filters):
        type = Wire(Choice(CreditTransaction.Type.values))
        from_ = Wire(Timestamp(), field_name="timestamp", lookup_expr="gte")

A view says ``filterset_class = HistoryFilters`` and ``self.filter_queryset(queryset)``, or calls
``HistoryFilters.narrow(queryset, request.query_params)``.
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
from fluxori.api.field_errors import wire_code
from fluxori.api.names import camel
from fluxori.core.errors import FieldError

M = TypeVar("M", bound=Model)

# Read by the pagination, so known to every list.
PAGING = frozenset({"limit", "cursor"})


class _WireField(forms.Field):
    """Understands a query's text with one of our own fields."""

    def __init__(self, *, reads: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._reads = reads

    def clean(self, value: Any) -> Any:
        if value is None:
            return None
        try:
            return self._reads.run_validation(self._reads.from_text(value))
        except ValidationError as refusal:
            told: Any = refusal.get_full_details()
            raise FormError(told[0]["message"], code=told[0]["code"]) from None


class QueryFilter(django_filters.Filter):  # type: ignore[misc] # django-filter has no types
    """A filter whose value is read by one of the fields of ``fluxori.api.fields``."""

    field_class = _WireField

    def __init__(self, reads: Any, **kwargs: Any) -> None:
        super().__init__(reads=reads, **kwargs)
        extend_schema_field(reads)(self)


class Filters(django_filters.FilterSet):  # type: ignore[misc]
    """A filter set declared in snake_case; a trailing underscore keeps a keyword out of the way."""

    @classmethod
    def get_filters(cls) -> "OrderedDict[str, Any]":
        return OrderedDict((camel(name), found) for name, found in super().get_filters().items())

    @classmethod
    def narrow(cls, queryset: QuerySet[M], params: QueryDict) -> QuerySet[M]:
        """Return what the parameters select.

        :raises BadInput: naming each parameter that is unknown, stands twice, or cannot be understood
        """
        filterset = cls(data=cls._known(params), queryset=queryset)
        if not filterset.is_valid():
            raise InvalidInputError(
                FieldError(name, wire_code(fault.code or ""), "".join(fault.messages))
                for name, faults in filterset.errors.as_data().items()
                for fault in faults
            )
        narrowed: QuerySet[M] = filterset.qs
        return narrowed

    @classmethod
    def _known(cls, params: QueryDict) -> dict[str, str]:
        """Return the texts by wire name, whichever spelling was used."""
        faults: list[FieldError] = []
        known: dict[str, str] = {}
        for written, texts in params.lists():
            name = camel(written) if written.islower() else written
            if name not in cls.base_filters.keys() | PAGING:
                faults.append(FieldError(written, "unknown_field", "There is no such parameter here."))
            elif len(texts) > 1 or name in known:
                faults.append(FieldError(written, "wrong_type", "This stands twice in the query; give it once."))
            known[name] = texts[-1]
        if faults:
            raise InvalidInputError(faults)
        return known


class NoFilters(Filters):
    """For a list that only turns pages."""


class FilterBackend(django_filters.DjangoFilterBackend):  # type: ignore[misc]
    """Applies a view's ``filterset_class``; a list without one takes no parameters but those of its pages."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filters: type[Filters] = getattr(view, "filterset_class", None) or NoFilters
        return filters.narrow(queryset, request.query_params)
