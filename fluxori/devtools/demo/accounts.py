"""The demo's people: who they are, and their passwords, random per database."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection

from credits.models import CreditBalance
from fluxori.devtools.demo.models import DemoMark
from fluxori.identity.models import Membership, Organization, User

DOMAIN = "demo.fluxori.example"
ORGANIZATION = "Karoo Outfitters"


class NotOurs(Exception):
    """The database holds something that the demo did not put there."""


@dataclass(frozen=True, slots=True)
class Account:
    user: User
    password: str

    def as_json(self) -> dict[str, str]:
        return {"id": str(self.user.pk), "email": self.user.email, "password": self.password}


@dataclass(frozen=True, slots=True)
class People:
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
    """Return this database's mark; with ``fresh``, what the demo had put there is dropped first.

    :raises NotOurs: if there is anything in it that the demo did not put there
    """
    earlier = _mark()
    if earlier is not None and (fresh or not earlier.seeded):
        # A history that was cut off cannot be gone on with.
        _drop_everything()
    call_command("migrate", verbosity=0, interactive=False)
    mark = DemoMark.objects.first()
    if mark is None:
        if User.objects.exists() or Organization.objects.exists() or CreditBalance.objects.exists():
            raise NotOurs
        mark = DemoMark.objects.create(secret=secrets.token_hex(32))
    return mark


def people(mark: DemoMark) -> People:
    """Return the demo's people, made where they are missing."""
    organization, _ = Organization.objects.get_or_create(name=ORGANIZATION)
    found = People(
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
        person: Account = getattr(found, role.value)
        Membership.objects.get_or_create(organization=organization, user=person.user, defaults={"role": role})
    for person, group in ((found.support, "support"), (found.lead, "support lead")):
        person.user.groups.add(Group.objects.get(name=group))
    return found


def _account(mark: DemoMark, name: str, **fields: object) -> Account:
    password = hmac.new(bytes.fromhex(mark.secret), name.encode(), hashlib.sha256).hexdigest()[:20]
    email = f"{name}@{DOMAIN}"
    user = User.objects.filter(email=email).first() or User.objects.create_user(email, password, **fields)
    return Account(user, password)


def _mark() -> DemoMark | None:
    tables = connection.introspection.table_names()
    return DemoMark.objects.first() if "demo_demomark" in tables else None


def _drop_everything() -> None:
    # History cannot be deleted row by row, by anyone; only the whole can go.
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE")
        cursor.execute("CREATE SCHEMA public")
