"""The rule that administrators cannot lock everybody out: the last one keeps their access.

There are two kinds: superusers of the admin, and users with the role ``admin`` in the API.
"""

from django.db import connection
from django.db.models import Q

from fluxori.identity.errors import LastAdministratorError
from fluxori.identity.models import User

SUPERUSERS = Q(is_superuser=True, is_staff=True, is_active=True)
API_ADMINS = Q(role=User.Role.ADMIN, is_active=True)
# The key of the lock that serializes changes of administrators. Any constant that no other code uses.
_LOCK = 5_201_501


def require_other_administrator(user: User) -> None:
    """Check, before a change of ``user`` is saved, that an administrator of each kind remains.

    The transaction of the caller keeps a lock, so that two administrators cannot remove each other.

    :raises LastAdministratorError: the stored user is the last administrator of a kind, and the changed one is not
    """
    stored = User.objects.filter(pk=user.pk)
    for kind, remains in (
        (SUPERUSERS, user.is_superuser and user.is_staff and user.is_active),
        (API_ADMINS, user.role == User.Role.ADMIN and user.is_active),
    ):
        if remains or not stored.filter(kind).exists():
            continue
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        if not User.objects.filter(kind).exclude(pk=user.pk).exists():
            raise LastAdministratorError
