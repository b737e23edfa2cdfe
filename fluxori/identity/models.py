"""Models of users, organizations and memberships. ``fluxori.identity.operations`` writes them."""

from typing import TYPE_CHECKING, Any, ClassVar

import pgtrigger
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower

from fluxori.core import clock
from fluxori.core.ids import uuid7
from fluxori.identity.emails import INVALID, MAX_EMAIL, email_for_lookup, normalize_email

if TYPE_CHECKING:
    EmailField = models.EmailField[str, str]
else:
    EmailField = models.EmailField


def validate_one_spelling(value: str) -> None:
    """Check that an address has one spelling, which ``fluxori.identity.emails`` defines."""
    try:
        normalize_email(value)
    except ValueError:
        raise ValidationError(INVALID) from None


class LowerCaseEmailField(EmailField):
    """An e-mail address stored and compared in one spelling, so that one address cannot be registered twice."""

    default_validators: Any = (validate_one_spelling, *EmailField.default_validators)

    def to_python(self, value: Any) -> Any:
        value = super().to_python(value)
        return email_for_lookup(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> Any:
        return self.to_python(super().get_prep_value(value))

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = self.to_python(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create a user of the API. Without a password the user can only use tokens of the external issuer."""
        user = self.model(email=email, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create a user with every permission, in the admin and in the API."""
        defaults = {"is_staff": True, "is_superuser": True, "role": User.Role.ADMIN}
        return self.create_user(email, password, **{**defaults, **fields})


class User(AbstractBaseUser, PermissionsMixin):
    """A person or a service. ``role`` gives permissions in the API, ``is_staff`` gives access to the admin."""

    class Role(models.TextChoices):
        USER = "user", "User"
        ADMIN = "admin", "Administrator"
        SERVICE = "service", "Service"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = LowerCaseEmailField("e-mail", max_length=MAX_EMAIL, unique=True)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.USER)
    external_id = models.CharField(
        "external id",
        max_length=255,
        unique=True,
        null=True,
        blank=True,
        help_text="The id in another system.",
    )
    is_staff = models.BooleanField("may use the admin", default=False)
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    # Increases in the order of the commits (migrations/sql/user_number.sql), which the id does not.
    number = models.BigIntegerField(
        unique=True,
        editable=False,
        db_default=models.Func(models.Value("identity_user_number"), function="nextval"),
    )

    objects: ClassVar[UserManager] = UserManager()

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="identity_user_role_known", condition=models.Q(role__in=["user", "admin", "service"])
            ),
            models.CheckConstraint(
                name="identity_user_email_lower_case", condition=models.Q(email=Lower("email")) & ~models.Q(email="")
            ),
            models.CheckConstraint(name="identity_user_external_id_not_empty", condition=~models.Q(external_id="")),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="user_former_email",
                when=pgtrigger.After,
                operation=pgtrigger.UpdateOf("email"),  # type: ignore[no-untyped-call]
                condition=pgtrigger.Condition("OLD.email IS DISTINCT FROM NEW.email"),
                func=(
                    "INSERT INTO identity_formeremail (user_id, email, until)"
                    " VALUES (OLD.id, OLD.email, CURRENT_TIMESTAMP); RETURN NULL;"
                ),
            )
        ]

    def __str__(self) -> str:
        return self.email


class FormerEmail(models.Model):
    """An e-mail address that a user had before. PostgreSQL writes the row, whoever changes the address."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="former_emails")
    email = models.CharField(max_length=254)
    until = models.DateTimeField()

    class Meta:
        default_permissions = ()
        # For searches by the beginning of the address.
        indexes = [models.Index(fields=["email"], name="identity_former_email_like", opclasses=["varchar_pattern_ops"])]

    def __str__(self) -> str:
        return self.email


NAME_SEARCH_VECTOR = SearchVector("name", config="simple")


class Organization(models.Model):
    """A group of users who share one pool of credits."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    external_id = models.CharField(
        "external id",
        max_length=255,
        unique=True,
        null=True,
        blank=True,
        help_text="The id in another system.",
    )
    is_active = models.BooleanField(
        "active",
        default=True,
        db_default=True,
        help_text="A closed organization is not active: it gets no further monthly credits.",
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    members: "models.ManyToManyField[User, Membership]" = models.ManyToManyField(
        User, through="Membership", related_name="organizations"
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(name="identity_organization_name_not_empty", condition=~models.Q(name="")),
            models.CheckConstraint(
                name="identity_organization_external_id_not_empty", condition=~models.Q(external_id="")
            ),
        ]
        # For search by the beginning of any word of the name.
        indexes = [GinIndex(NAME_SEARCH_VECTOR, name="identity_organization_words")]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user's role in an organization. A viewer can see the pool but not spend from it."""

    class Role(models.TextChoices):
        OWNER = "owner", "Owner"
        MANAGER = "manager", "Manager"
        MEMBER = "member", "Member"
        VIEWER = "viewer", "Viewer"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)
    email_is_shared = models.BooleanField(
        default=True,
        editable=False,
        help_text="Whether the other members see the e-mail: the owner who added the member gave it.",
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="identity_membership_once", fields=["organization", "user"]),
            models.CheckConstraint(
                name="identity_membership_role_known",
                condition=models.Q(role__in=["owner", "manager", "member", "viewer"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"
