"""The database and the accounts of the demo.

``claim`` makes sure that the database contains only data of the demo. The passwords of the accounts are derived from a
random secret that is stored in the database, so they are different in each database and stay the same in one.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection

from credits.models import CreditBalance
from fluxori.devtools.demo.models import DemoMark
from fluxori.devtools.former_schema import has_former_schema
from fluxori.identity.models import Membership, Organization, User

DOMAIN = "demo.fluxori.example"
ORGANIZATION = "Karoo Outfitters"


class ForeignDataError(Exception):
    """The database contains data that the demo did not create."""


class FormerSchemaError(Exception):
    """The database has the schema of an earlier version. ``is_demo`` says whether the demo created its data."""

    def __init__(self, *, is_demo: bool) -> None:
        super().__init__()
        self.is_demo = is_demo


@dataclass(frozen=True, slots=True)
class Account:
    user: User
    password: str

    def as_json(self) -> dict[str, str]:
        return {"id": str(self.user.pk), "email": self.user.email, "password": self.password}


@dataclass(frozen=True, slots=True)
class DemoAccounts:
    admin: Account
    user: Account
    owner: Account
    member: Account
    viewer: Account
    service: Account
    support: Account
    lead: Account
    organization: Organization


def claim(*, fresh: bool) -> DemoMark:
    """Migrate the database and return its mark. With ``fresh``, drop the data of an earlier demo first.

    :raises FormerSchemaError: the database has the schema of an earlier version, and would not be dropped
    :raises ForeignDataError: the database contains data that the demo did not create
    """
    existing = _find_mark()
    with connection.cursor() as cursor:
        is_former = has_former_schema(cursor)
    if is_former and (existing is None or not fresh):
        raise FormerSchemaError(is_demo=existing is not None)
    if existing is not None and (fresh or not existing.seeded):
        # A history that is incomplete cannot be continued.
        _drop_everything()
    call_command("migrate", verbosity=0, interactive=False)
    mark = DemoMark.objects.first()
    if mark is None:
        if User.objects.exists() or Organization.objects.exists() or CreditBalance.objects.exists():
            raise ForeignDataError
        mark = DemoMark.objects.create(secret=secrets.token_hex(32))
    return mark


def get_accounts(mark: DemoMark) -> DemoAccounts:
    """Return the accounts of the demo. Create those that are missing."""
    organization, _ = Organization.objects.get_or_create(name=ORGANIZATION)
    accounts = DemoAccounts(
        admin=_account(mark, "admin", role=User.Role.ADMIN, is_staff=True, is_superuser=True),
        user=_account(mark, "user"),
        owner=_account(mark, "owner"),
        member=_account(mark, "member"),
        viewer=_account(mark, "viewer"),
        service=_account(mark, "service", role=User.Role.SERVICE),
        support=_account(mark, "support", is_staff=True),
        lead=_account(mark, "lead", is_staff=True),
        organization=organization,
    )
    for role in (Membership.Role.OWNER, Membership.Role.MEMBER, Membership.Role.VIEWER):
        person: Account = getattr(accounts, role.value)
        Membership.objects.get_or_create(organization=organization, user=person.user, defaults={"role": role})
    for person, group in ((accounts.support, "support"), (accounts.lead, "support lead")):
        person.user.groups.add(Group.objects.get(name=group))
    return accounts


def _account(mark: DemoMark, name: str, **fields: object) -> Account:
    password = hmac.new(bytes.fromhex(mark.secret), name.encode(), hashlib.sha256).hexdigest()[:20]
    email = f"{name}@{DOMAIN}"
    user = User.objects.filter(email=email).first() or User.objects.create_user(email, password, **fields)
    return Account(user, password)


def _find_mark() -> DemoMark | None:
    tables = connection.introspection.table_names()
    return DemoMark.objects.first() if "demo_demomark" in tables else None


def _drop_everything() -> None:
    # Triggers reject DELETE and TRUNCATE on the tables of the ledger, so the whole schema is dropped.
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE")
        cursor.execute("CREATE SCHEMA public")
