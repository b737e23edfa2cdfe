"""The domain errors of constraints and triggers in PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError, transaction

from fluxori.core.errors import DomainError
from fluxori.identity.errors import EmailTakenError, ExternalIdTakenError, LastAdminError
from fluxori.identity.models import User

_ERROR_BY_CONSTRAINT: dict[str, type[DomainError]] = {
    "identity_user_email_key": EmailTakenError,
    "identity_user_external_id_key": ExternalIdTakenError,
    "identity_organization_external_id_key": ExternalIdTakenError,
    # A trigger: migrations/sql/last_admin.sql.
    "identity_last_admin": LastAdminError,
}


def check_other_admin_remains(user: User) -> None:
    """Check a change of ``user`` before it is saved, by making it and rolling it back.

    :raises LastAdminError: the user is the last administrator of a kind, and would not be one any more
    """
    access = ("role", "is_active", "is_staff", "is_superuser")
    with constraint_errors(), transaction.atomic():
        User.objects.filter(pk=user.pk).update(**{name: getattr(user, name) for name in access})
        transaction.set_rollback(True)


@contextmanager
def constraint_errors(*only: type[DomainError]) -> Iterator[None]:
    """Raise the domain error of a constraint that a statement of the block violates. The block is rolled back then.

    With ``only``, violations of other constraints remain errors of the database.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        diagnostics: Any = getattr(error.__cause__, "diag", None)
        domain_error = _ERROR_BY_CONSTRAINT.get(getattr(diagnostics, "constraint_name", ""))
        if domain_error is None or (only and domain_error not in only):
            raise
        raise domain_error from None
