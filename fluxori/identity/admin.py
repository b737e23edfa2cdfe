"""Admin pages of users, organizations and memberships.

Nothing is deleted here, because the ledger refers to users and organizations by id. Users are deactivated instead.
"""

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse_lazy
from unfold.admin import TabularInline
from unfold.forms import AdminOwnPasswordChangeForm, AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldBooleanWidget

from fluxori.adminkit.changelist import BaseAdmin, ListAdmin
from fluxori.adminkit.formatting import timestamp_html
from fluxori.adminkit.names import VisibleNames
from fluxori.identity import accounts, queries, two_factor
from fluxori.identity.constraints import check_other_admin_remains, constraint_errors
from fluxori.identity.errors import LastAdminError, LastOwnerError
from fluxori.identity.models import Membership, Organization, User

# Groups are registered again below with Unfold's admin class. The rows of tokens are of no use to staff.
admin.site.unregister(Group)
for _app, _name in (
    ("token_blacklist", "OutstandingToken"),
    ("token_blacklist", "BlacklistedToken"),
    ("otp_totp", "TOTPDevice"),
    ("otp_static", "StaticDevice"),
):
    admin.site.unregister(apps.get_model(_app, _name))


_MAX_MATCHES = 100


class IdentityAdmin(VisibleNames, ListAdmin):
    """Search by the beginning of an e-mail address or a word of a name, by external id, or by id. All use an index."""

    search_fields: ClassVar[Any] = ("pk",)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:  # noqa: ARG002
        term = search_term.strip()
        if not term:
            return queryset, False
        if "\x00" in term:
            return queryset.none(), False
        try:
            return queryset.filter(self.rows_of([UUID(term)])), False
        except ValueError:
            return queryset.filter(self.rows_of([row.pk for row in self.matches(term)])), False

    def matches(self, term: str) -> list[Any]:
        """Return the users and organizations that match ``term``."""
        return [*queries.users_like(term, limit=_MAX_MATCHES), *queries.organizations_like(term, limit=_MAX_MATCHES)]

    def rows_of(self, ids: list[UUID]) -> Q:
        """Return the condition for rows of the users and organizations with these ids."""
        return Q(pk__in=ids)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    @admin.display(description="since")
    def since(self, row: Any) -> str:
        return timestamp_html(row.created_at)


class NewUserForm(UserCreationForm):  # type: ignore[misc]
    """A new user, with a password or with an invitation."""

    invite = forms.BooleanField(
        label="send an invitation",
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="For an account without a password: the person receives a link and sets it.",
    )

    def clean(self) -> Any:
        cleaned = super().clean()
        if self.cleaned_data.get("invite") and self.cleaned_data.get("set_usable_password"):
            self.add_error("invite", "A person who is invited sets the password. Disable the password here.")
        return cleaned

    class Meta:
        model = User
        fields = ("email", "role", "external_id")


class MembershipsInline(TabularInline):  # type: ignore[misc]
    """The organizations of a user. Members are added and removed on the page of the organization."""

    model = Membership
    fields = ("organization", "role", "created_at")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


class UserForm(UserChangeForm):  # type: ignore[misc]
    """A user. The last administrator cannot be deactivated or lose their permissions."""

    def _post_clean(self) -> None:
        super()._post_clean()
        if not self.errors:
            try:
                check_other_admin_remains(self.instance)
            except LastAdminError as error:
                self.add_error(None, error.detail)


class PasswordOnly:
    """Part of a form for the password of a user: it writes nothing else of the user."""

    def set_password_and_save(self, user: User, *args: Any, commit: bool = True, **options: Any) -> User:
        super().set_password_and_save(user, *args, commit=False, **options)  # type: ignore[misc]
        if commit:
            user.save(update_fields=["password"])
            # The session of a person who changes the own password goes on in the new generation.
            user.refresh_from_db(fields=["session_generation"])
        return user


class PasswordForm(PasswordOnly, AdminPasswordChangeForm):  # type: ignore[misc]
    """The form with which staff set the password of a user."""


class OwnPasswordForm(PasswordOnly, AdminOwnPasswordChangeForm):  # type: ignore[misc]
    """The form with which staff change their own password."""


def own_password_view(request: HttpRequest) -> HttpResponseBase:
    """Change the password of the member of staff who is logged in."""
    view = PasswordChangeView.as_view(
        form_class=OwnPasswordForm,
        success_url=reverse_lazy("admin:password_change_done"),
        extra_context=admin.site.each_context(request),
    )
    return view(request)


@admin.register(User)
class UserAdmin(BaseUserAdmin, IdentityAdmin):  # type: ignore[type-arg,misc]
    add_form = NewUserForm
    form = UserForm
    change_password_form = PasswordForm
    list_display = ("email", "role", "external_id", "is_active", "is_staff", "since")
    list_filter = ("role", "is_active", "is_staff")
    saved_links: Any = (("Staff", "is_staff__exact=1"), ("Deactivated", "is_active__exact=0"))
    search_fields = ("pk",)
    search_help_text = "E-mail, external id or id"
    ordering = ("-id",)
    readonly_fields = ("id", "created_at", "last_login")
    unversioned_fields = ("password", "last_login")
    filter_horizontal = ("groups", "user_permissions")
    inlines: ClassVar[Any] = [MembershipsInline]
    actions: Any = ["deactivate", "activate", "send_invitation", "remove_two_factor"]
    fieldsets = (
        (None, {"fields": ("id", "email", "external_id", "password")}),
        ("API access", {"fields": ("role", "is_active")}),
        ("Admin access", {"fields": ("is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("created_at", "last_login")}),
    )
    add_fieldsets = (
        (None, {"fields": ("email", "role", "external_id", "usable_password", "password1", "password2", "invite")}),
    )

    # Only superusers may change these: a user who can change their own could give themselves every permission.
    _permission_fields = ("role", "is_staff", "is_superuser", "groups", "user_permissions")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:  # noqa: ARG002
        return self.readonly_fields if _is_superuser(request) else (*self.readonly_fields, *self._permission_fields)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        has_permission: bool = super().has_change_permission(request, obj)
        # Changing the password or e-mail address of another member of staff would be a way to become that person.
        is_other_staff = obj is not None and (obj.is_staff or obj.is_superuser) and obj.pk != request.user.pk
        return has_permission and (not is_other_staff or _is_superuser(request))

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:  # noqa: ARG002
        return self.inlines if obj else []

    @admin.action(description="Deactivate: their tokens stop working at once", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._set_active(request, queryset, is_active=False)

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._set_active(request, queryset, is_active=True)

    @admin.action(description="Send an invitation to set the password", permissions=["change"])
    def send_invitation(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        sent = 0
        for user in queryset:
            if self.has_change_permission(request, user) and user.is_active and not user.has_usable_password():
                accounts.invite(user=user, actor=_staff(request))
                sent += 1
        message = f"Sent {sent} of {queryset.count()}. Only active users without a password are invited."
        self.message_user(request, message, messages.INFO)

    @admin.action(description="Turn two-factor login off (a device was lost)", permissions=["remove_two_factor"])
    def remove_two_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        users = [user for user in queryset if two_factor.is_on(user)]
        for user in users:
            two_factor.turn_off(user=user, actor=_staff(request))
        self.message_user(request, f"Turned off for {len(users)} of {queryset.count()}.", messages.INFO)

    def has_remove_two_factor_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        # SafeFormsMixin handles values that another request has taken.
        with constraint_errors(LastAdminError):
            super().save_model(request, obj, form, change)
        if not change and form.cleaned_data.get("invite"):
            accounts.invite(user=obj, actor=_staff(request))

    def changeform_view(
        self,
        request: Any,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except LastAdminError as error:  # another administrator lost access after the form was checked
            self.message_user(request, error.detail, messages.ERROR)
            return HttpResponseRedirect(request.path)

    def _set_active(self, request: HttpRequest, queryset: QuerySet[User], *, is_active: bool) -> None:
        verb = "Activated" if is_active else "Deactivated"
        users = [user for user in queryset.exclude(is_active=is_active) if self.has_change_permission(request, user)]
        changed = []
        with transaction.atomic():
            for user in users:
                user.is_active = is_active
                try:
                    with constraint_errors():
                        user.save(update_fields=["is_active"])
                except LastAdminError as error:
                    self.message_user(request, f"{user}: {error.detail}", messages.ERROR)
                    continue
                self.log_change(request, user, f"{verb}.")
                changed.append(user)
        self.message_user(request, f"{verb} {len(changed)} of {queryset.count()}.", messages.INFO)


class MembersFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    def clean(self) -> None:
        super().clean()
        members = [form.cleaned_data for form in self.forms if form.is_valid() and not form.cleaned_data.get("DELETE")]
        if self.instance.pk and not any(member.get("role") == Membership.Role.OWNER for member in members):
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
class OrganizationAdmin(IdentityAdmin):
    list_display = ("name", "external_id", "is_active", "since")
    list_filter = ("is_active",)
    search_help_text = "Name, external id or id"
    ordering = ("-id",)
    fields = ("id", "name", "external_id", "is_active", "created_at")
    readonly_fields = ("id", "created_at")
    inlines: Any = [MembersInline]


@admin.register(Membership)
class MembershipAdmin(IdentityAdmin):
    """All memberships, read-only. Members are added and removed on the page of the organization."""

    list_display = ("organization", "user", "role", "since")
    empty_message = "Members are added on the page of their organization."
    list_filter = ("role",)
    list_select_related = ("organization", "user")
    search_help_text = "E-mail, organization or id"
    ordering = ("-id",)
    export_columns: Any = {"organization": lambda row: row.organization, "user": lambda row: row.user}

    def rows_of(self, ids: list[UUID]) -> Q:
        return Q(pk__in=ids) | Q(organization__in=ids) | Q(user__in=ids)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, BaseAdmin):  # type: ignore[misc]
    """Groups of staff members with their permissions."""


def _staff(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _is_superuser(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_superuser
