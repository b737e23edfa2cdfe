"""People and organizations for the support desk. Nobody is deleted: who leaves is deactivated, the ledger stays."""

from typing import Any, ClassVar
from uuid import UUID

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from fluxori.adminkit.changelist import ListAdmin
from fluxori.adminkit.formatting import timestamp_html
from fluxori.identity import queries
from fluxori.identity.errors import LastOwnerError
from fluxori.identity.models import Membership, Organization, User

# Groups come back below in the site's own dress; what is kept of tokens is of no use to people.
admin.site.unregister(Group)
for _name in ("OutstandingToken", "BlacklistedToken"):
    admin.site.unregister(apps.get_model("token_blacklist", _name))


_ENOUGH = 100


class PeopleAdmin(ListAdmin):
    """People and organizations, found by how their names begin, by external id or id: each by an index."""

    search_fields: ClassVar[Any] = ("pk",)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:  # noqa: ARG002
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(self.of([UUID(term)])), False
        except ValueError:
            return queryset.filter(self.of([row.pk for row in self.like(term)])), False

    def like(self, term: str) -> list[Any]:
        """Return the people and organizations that ``term`` names."""
        return [*queries.users_like(term, limit=_ENOUGH), *queries.organizations_like(term, limit=_ENOUGH)]

    def of(self, keys: list[UUID]) -> Q:
        """Return which rows belong to those with these ids."""
        return Q(pk__in=keys)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    @admin.display(description="since")
    def since(self, row: Any) -> str:
        return timestamp_html(row.created_at)


class NewUserForm(UserCreationForm):  # type: ignore[misc]
    class Meta:
        model = User
        fields = ("email", "role", "external_id")


class SeatsInline(TabularInline):  # type: ignore[misc]
    """Where a user belongs. Seats are given and taken on the organization's page."""

    model = Membership
    fields = ("organization", "role", "created_at")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


@admin.register(User)
class UserAdmin(BaseUserAdmin, PeopleAdmin):  # type: ignore[type-arg,misc]
    add_form = NewUserForm
    form = UserChangeForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "role", "external_id", "is_active", "is_staff", "since")
    list_filter = ("role", "is_active", "is_staff")
    saved_links: Any = (("Staff", "is_staff__exact=1"), ("Deactivated", "is_active__exact=0"))
    search_fields = ("pk",)
    search_help_text = "E-mail, external id or id"
    ordering = ("-id",)
    readonly_fields = ("id", "created_at", "last_login")
    filter_horizontal = ("groups", "user_permissions")
    inlines: ClassVar[Any] = [SeatsInline]
    actions: Any = ["deactivate", "activate"]
    fieldsets = (
        (None, {"fields": ("id", "email", "external_id", "password")}),
        ("May call the API", {"fields": ("role", "is_active")}),
        ("May use this site", {"fields": ("is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("created_at", "last_login")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "role", "external_id", "usable_password", "password1", "password2")}),)

    # Whoever could give these to themselves would need no other permission.
    _power = ("role", "is_staff", "is_superuser", "groups", "user_permissions")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:  # noqa: ARG002
        return self.readonly_fields if _is_superuser(request) else (*self.readonly_fields, *self._power)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        may: bool = super().has_change_permission(request, obj)
        # Changing a superuser's password or address would be another way to become one.
        return may and (obj is None or not obj.is_superuser or _is_superuser(request))

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:  # noqa: ARG002
        return self.inlines if obj else []

    @admin.action(description="Deactivate: tokens stop working at their next request", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._switch(request, queryset, on=False)

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._switch(request, queryset, on=True)

    def _switch(self, request: HttpRequest, queryset: QuerySet[User], *, on: bool) -> None:
        word = "Activated" if on else "Deactivated"
        switched = [user for user in queryset.exclude(is_active=on) if self.has_change_permission(request, user)]
        User.objects.filter(pk__in=[user.pk for user in switched]).update(is_active=on)
        for user in switched:
            self.log_change(request, user, f"{word}.")
        self.message_user(request, f"{word} {len(switched)} of {queryset.count()}.", messages.INFO)


class MembersFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    def clean(self) -> None:
        super().clean()
        kept = [form.cleaned_data for form in self.forms if form.is_valid() and not form.cleaned_data.get("DELETE")]
        if self.instance.pk and not any(seat.get("role") == Membership.Role.OWNER for seat in kept):
            raise ValidationError(LastOwnerError.title)


class MembersInline(TabularInline):  # type: ignore[misc]
    model = Membership
    formset = MembersFormSet
    autocomplete_fields = ("user",)
    fields = ("user", "role", "created_at")
    readonly_fields = ("created_at",)
    extra = 0
    min_num = 1


@admin.register(Organization)
class OrganizationAdmin(PeopleAdmin):
    list_display = ("name", "external_id", "since")
    search_help_text = "Name, external id or id"
    ordering = ("-id",)
    fields = ("id", "name", "external_id", "created_at")
    readonly_fields = ("id", "created_at")
    inlines: Any = [MembersInline]


@admin.register(Membership)
class MembershipAdmin(PeopleAdmin):
    """Every seat, to be searched; given and taken on the organization's page."""

    list_display = ("organization", "user", "role", "since")
    empty_message = "Members are added on the page of their organization."
    list_filter = ("role",)
    list_select_related = ("organization", "user")
    search_help_text = "E-mail, organization or id"
    ordering = ("-id",)
    export_columns: Any = {"organization": lambda row: row.organization, "user": lambda row: row.user}

    def of(self, keys: list[UUID]) -> Q:
        return Q(pk__in=keys) | Q(organization__in=keys) | Q(user__in=keys)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, ModelAdmin):  # type: ignore[misc]
    """What members of the staff may do together."""


def _is_superuser(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_superuser
