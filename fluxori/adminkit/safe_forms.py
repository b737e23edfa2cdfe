"""Forms of admin pages under concurrency: a form that is outdated, and a form that is sent twice.

A change form carries the version of the row that it shows. If the row has changed by the time the form is sent, the
form is rejected with what changed. Otherwise only the fields that changed in the form are written. An add form carries
the id of the row that it will create, so that sending it twice creates one row.
"""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import flatten_fieldsets
from django.core import signing
from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet, UUIDField
from django.forms.models import _get_foreign_key
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

VERSION = "_version"
NEW_ID = "_new_id"
OUTDATED = "This row was changed after you opened the page, so your changes were not saved."
RELOAD = "Open the page again and repeat your changes."
_UNIQUE_VIOLATION = "23505"
_MAX_VALUE = 60  # characters of a changed value in a message

Snapshot = dict[str, Any]


class SafeFormsMixin:
    """Rejects outdated change forms, writes only what changed in the form, and creates one row per add form.

    ``unversioned_fields`` are columns that the form neither shows nor writes, and that may change at any time.
    """

    unversioned_fields: ClassVar[tuple[str, ...]] = ()

    def changeform_view(
        self: Any,
        request: Any,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        for _ in range(2):
            sent: HttpResponse | None = self._already_added(request) if object_id is None else None
            if sent is not None:
                return sent
            try:
                response: HttpResponse = super().changeform_view(  # type: ignore[misc]
                    request, object_id, form_url, extra_context
                )
                return response
            except IntegrityError as error:
                if getattr(error.__cause__, "sqlstate", None) != _UNIQUE_VIOLATION:
                    raise
                # Another request added the same value after the form was validated. The form is validated again.
        messages.error(request, "Another row with the same values was added at the same time. Nothing was saved.")
        return HttpResponseRedirect(request.get_full_path())

    def get_object(self: Any, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)  # type: ignore[misc]
        is_change = request.method == "POST" and transaction.get_connection().in_atomic_block
        # A lock needs the privilege to change the row, which the database role has for few rows of the ledger.
        if row is not None and is_change and self.has_change_permission(request, row):
            # Locked and read again, so the version is compared with values that no other request can change.
            self.model._base_manager.select_for_update(no_key=True, of=("self",)).filter(pk=row.pk).first()  # noqa: SLF001
            row = super().get_object(request, object_id, from_field)  # type: ignore[misc]
        return row

    def get_form(self: Any, request: Any, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form_class = super().get_form(request, obj, change=change, **options)  # type: ignore[misc]
        if not change or obj is None or request.method != "POST":
            return form_class
        outdated = self._outdated(request, obj)
        if not outdated:
            return form_class

        class OutdatedForm(form_class):  # type: ignore[misc,valid-type]
            def full_clean(self) -> None:
                super().full_clean()
                self.add_error(None, forms.ValidationError(outdated, code="outdated"))

        return OutdatedForm

    def render_change_form(self: Any, request: Any, context: dict[str, Any], **options: Any) -> HttpResponse:
        row = options.get("obj")
        if options.get("add"):
            context[NEW_ID.strip("_")] = request.POST.get(NEW_ID) or self._new_id()
        elif row is not None and self.has_change_permission(request, row):
            # A form with errors keeps the version of the page on which the user began.
            sent = request.POST.get(VERSION, "") if request.method == "POST" else None
            context[VERSION.strip("_")] = self._sign(self.snapshot(request, row)) if sent is None else sent
        response: HttpResponse = super().render_change_form(request, context, **options)  # type: ignore[misc]
        return response

    def save_model(self: Any, request: Any, obj: Any, form: Any, change: bool) -> None:
        columns = {field.name for field in self.opts.concrete_fields if not field.primary_key}
        if change:
            changed = [name for name in form.changed_data if name in columns]
            if changed:
                obj.save(update_fields=changed)
            return
        new_id = self._sent_id(request)
        if new_id is not None:
            obj.pk = new_id
        obj.save(force_insert=True)

    def construct_change_message(self: Any, request: Any, form: Any, formsets: Any, add: bool = False) -> Any:
        """Return what the history shows: each changed field with its earlier and its new value."""
        changes = [] if add or formsets is None else list(_describe_form(form, formsets))
        if changes:
            return f"{'; '.join(changes)}."
        return super().construct_change_message(request, form, formsets, add)  # type: ignore[misc]

    def snapshot(self: Any, request: Any, row: Model) -> Snapshot:
        """Return all values of the row, and of the rows that its page edits, as text."""
        names = flatten_fieldsets(self.get_fieldsets(request, row))
        values: Snapshot = _columns(row, self.unversioned_fields)
        for field in self.opts.many_to_many:
            if field.name in names:
                keys = getattr(row, field.name).order_by("pk").values_list("pk", flat=True)
                values[field.name] = [str(key) for key in keys]
        for inline in self.get_inline_instances(request, row):
            if not any(
                permission(request, row)
                for permission in (
                    inline.has_add_permission,
                    inline.has_change_permission,
                    inline.has_delete_permission,
                )
            ):
                continue
            key = _get_foreign_key(self.model, inline.model, fk_name=inline.fk_name)
            related = inline.model._default_manager.filter(**{key.name: row}).order_by("pk")  # noqa: SLF001
            values[str(inline.opts.verbose_name_plural)] = {str(other.pk): _columns(other) for other in related}
        return values

    def _outdated(self: Any, request: Any, row: Model) -> list[str]:
        """Return why the form that was sent is outdated, or nothing."""
        try:
            before: Snapshot = signing.loads(request.POST.get(VERSION, ""), salt=self._salt)
        except signing.BadSignature:
            return ["The form has no version.", RELOAD]
        changes = list(_describe_changes(self.model, before, self.snapshot(request, row)))
        return [OUTDATED, *changes, RELOAD] if changes else []

    def _already_added(self: Any, request: Any) -> HttpResponse | None:
        """Return a redirect to the row that this add form has created before, if so."""
        new_id = self._sent_id(request)
        if new_id is None or not self.has_add_permission(request):
            return None
        if not self.model._base_manager.filter(pk=new_id).exists():  # noqa: SLF001
            return None
        messages.info(request, f"This form was already sent. The {self.opts.verbose_name} was not added again.")
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        if self.has_view_permission(request):
            return HttpResponseRedirect(reverse(f"{name}_change", args=[new_id]))
        return HttpResponseRedirect(reverse("admin:index"))

    def _new_id(self: Any) -> str:
        """Return a signed id for a new row, or an empty text if the database or the user chooses its key."""
        key = self.opts.pk
        return self._sign(str(key.get_default())) if isinstance(key, UUIDField) and key.has_default() else ""

    def _sent_id(self: Any, request: Any) -> UUID | None:
        if request.method != "POST":
            return None
        try:
            return UUID(signing.loads(request.POST.get(NEW_ID, ""), salt=self._salt))
        except (signing.BadSignature, ValueError, AttributeError):
            return None

    def _sign(self: Any, value: Any) -> str:
        return signing.dumps(value, salt=self._salt, compress=True)

    @property
    def _salt(self: Any) -> str:
        return f"admin form of {self.opts.label_lower}"


def _columns(row: Model, excluded: tuple[str, ...] = ()) -> Snapshot:
    columns = [field for field in row._meta.concrete_fields if field.name not in excluded]  # noqa: SLF001
    return {
        field.name: None if field.value_from_object(row) is None else field.value_to_string(row) for field in columns
    }


def _describe_changes(model: type[Model], before: Snapshot, after: Snapshot) -> Any:
    for name, new in after.items():
        old = before.get(name)
        if old == new:
            continue
        if isinstance(new, Mapping) or isinstance(old, Mapping):
            yield f"Changed meanwhile: {name}, now {len(new or {})}."
        elif isinstance(new, list):
            yield f"Changed meanwhile: {_label(model, name)}."
        else:
            yield f"Changed meanwhile: {_label(model, name)} from {_shorten(old)} to {_shorten(new)}."


def _describe_form(form: Any, formsets: Any) -> Any:
    """Yield the changes of a form and of the forms of related rows, each with the earlier and the new value."""
    for name in form.changed_data:
        field = form.fields[name]
        label = (field.label or name.replace("_", " ")).lower()
        if name in form.initial:
            yield f"{label}: {_display(field, form.initial[name])} \u2192 {_display(field, form.cleaned_data[name])}"
        else:
            yield f"{label}: {_display(field, form.cleaned_data[name])}"
    for formset in formsets:
        for row in formset.new_objects:
            yield f"added {row._meta.verbose_name} {_describe_row(row)}"  # noqa: SLF001
        for row in formset.deleted_objects:
            yield f"deleted {row._meta.verbose_name} {_describe_row(row)}"  # noqa: SLF001
        changed = {row for row, _ in formset.changed_objects}
        for row_form in formset.forms:
            if row_form.instance in changed:
                yield f"{row_form.instance}: {', '.join(_describe_form(row_form, ()))}"


def _describe_row(row: Any) -> str:
    role = getattr(row, "role", "")
    return f"{row} ({role})" if role else str(row)


def _display(field: Any, value: Any) -> str:
    if hasattr(field, "queryset"):
        names = field.queryset.filter(pk__in=[getattr(key, "pk", key) for key in value]) if _is_many(value) else None
        if names is not None:
            return ", ".join(sorted(map(str, names))) or "nothing"
        value = field.queryset.filter(pk=getattr(value, "pk", value)).first() if value else None
    return _shorten(value)


def _is_many(value: Any) -> bool:
    return isinstance(value, list | tuple | set | QuerySet)


def _label(model: type[Model], name: str) -> str:
    return str(model._meta.get_field(name).verbose_name)  # type: ignore[union-attr]  # noqa: SLF001


def _shorten(value: Any) -> str:
    text = "nothing" if value in (None, "") else str(value)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}\u2026"
