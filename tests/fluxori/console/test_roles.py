"""Permissions: every address of the admin and every staff action, tried in every role."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import get_resolver, reverse

from credits import operations as ledger
from credits.models import CreditBalance, CreditHold, CreditTransaction, RejectedAttempt
from fluxori.console.actions import operations
from fluxori.console.actions.catalogue import ACTIONS
from fluxori.console.approvals.operations import request_approval
from fluxori.console.models import ApprovalRequest, ManualCreditCeiling, StaffAction
from fluxori.core import clock
from fluxori.db.jobs import defer
from fluxori.identity.models import User
from tests.support.admin import version_of
from tests.support.database import as_owner
from tests.support.factories.credits import deduct, hold, make_user
from tests.support.factories.identity import MembershipFactory
from tests.support.falsification import falsify_without_triggers
from tests.support.staff import action_request, action_url, client_of, make_staff
from tests.support.times import HOUR
from tiers import operations as tiers
from tiers.models import RecoveryCost

STAFF = {"support", "support lead", "finance", "auditor", "superuser"}
LEAD = {"support lead", "superuser"}
FINANCE = {"finance", "superuser"}
SUPERUSER = {"superuser"}
ROLES = ["anonymous", "customer", *sorted(STAFF)]

# Which roles may view a model, by app and model.
VIEWERS = {
    "identity": {"user": STAFF, "organization": STAFF, "membership": STAFF},
    "auth": {"group": {"auditor", "superuser"}},
    "credits": dict.fromkeys(
        [
            "creditbalance",
            "creditgrant",
            "credittransaction",
            "creditentry",
            "credithold",
            "creditpin",
            "creditrequest",
            "balancerepair",
            "rejectedattempt",
            "feature",
            "featureprice",
        ],
        STAFF,
    ),
    "tiers": {
        **dict.fromkeys(["tier", "subscription", "monthlyallocation", "allocationrun"], STAFF),
        "recoverycost": {"finance", "auditor", "superuser"},
    },
    "console": dict.fromkeys(["staffaction", "approvalrequest", "manualcreditceiling"], STAFF),
    "procrastinate": {"procrastinatejob": STAFF},
}
# Which roles may add, change and delete rows of a model. Other models are read-only.
ADDERS = {
    "user": SUPERUSER,
    "organization": SUPERUSER,
    "group": SUPERUSER,
    "feature": FINANCE,
    "featureprice": FINANCE,
    "tier": FINANCE,
    "recoverycost": FINANCE,
    "manualcreditceiling": FINANCE,
}
CHANGERS = {
    "user": SUPERUSER,
    "organization": SUPERUSER,
    "group": SUPERUSER,
    "feature": FINANCE,
    "tier": FINANCE,
    "manualcreditceiling": FINANCE,
}
DELETERS = {"group": SUPERUSER}

# Which roles may perform a staff action, by its code.
PERFORMERS = {
    "add": {"support", "support lead", "finance", "superuser"},
    "adjust": {"support lead", "finance", "superuser"},
    "transfer": {"support lead", "finance", "superuser"},
    "refund": {"support", "support lead", "finance", "superuser"},
    "reverse": FINANCE,
    "void": {"support lead", "finance", "superuser"},
    "extend": LEAD,
    "release": {"support", "support lead", "superuser"},
    "tier": LEAD,
    "cancel_tier_change": LEAD,
    "end_subscription": LEAD,
    "pause_subscription": LEAD,
    "resume_subscription": LEAD,
    "set_limit": LEAD,
    "remove_limit": LEAD,
    "allocate": {"support", "support lead", "superuser"},
    "suspend": {"support", "support lead", "superuser"},
    "resume": {"support", "support lead", "superuser"},
}
APPROVERS = {"support lead", "finance", "superuser"}
EXPORTERS = {"support lead", "finance", "auditor", "superuser"}

# Pages that do not belong to a model: the roles that may open them with GET, and the status that these roles get.
OTHER_PAGES = {
    "index": (STAFF, 200),
    "login": (STAFF, 302),
    "logout": (STAFF, 405),
    "password_change": (STAFF, 200),
    "password_change_done": (STAFF, 200),
    "autocomplete": (set(), 403),
    "jsi18n": (STAFF, 200),
    "search": (STAFF, 200),
    "view_on_site": (STAFF, 404),
    "console_find_owner": (PERFORMERS["add"], 200),
    "auth_user_password_change": (SUPERUSER, 200),
    "console_search": (STAFF, 200),
    "two_factor": (STAFF, 200),
    "verify_two_factor": (STAFF, 302),
    # These accept POST only. The tests of saved filters check who may delete which filter.
    "save_filter": (set(), 403),
    "delete_filter": (set(), 403),
}
NOT_IN_ADMIN_NAMESPACE = {"console_search", "two_factor", "verify_two_factor", "save_filter", "delete_filter"}


@pytest.fixture
def balance(db):
    """A balance with at least one row in every model of the admin."""
    owner = make_user()
    now = clock.now()
    tiers.initialize_balance(owner=owner, tier="explorer", at=now - timedelta(days=40))
    balance = CreditBalance.objects.get(pk=owner.pk)
    deduct(balance, 30, idempotency_key="once", at=now)
    RejectedAttempt.objects.create(balance=balance, hour=now, code="insufficient_credits", count=1, last_at=now)
    hold(balance, 10, at=now, expires_in=HOUR)
    tiers.add_monthly_allocation(owner=owner)
    tiers.start_run(at=now, started_at=now, started_by="a test")
    MembershipFactory()
    operations.perform(action_request("adjust", owner, User.objects.create_superuser("root@staff.test"), amount=5))
    request_approval(action_request("add", owner, make_staff("support"), amount=900))
    defer("expire_credits", arguments={"timestamp": 0})
    RecoveryCost.objects.get_or_create(effective_from=now - timedelta(days=1), defaults={"rand_per_credit": "0.02"})
    falsify_without_triggers("UPDATE credits_creditbalance SET balance = balance + 1 WHERE id = %(id)s", id=balance.pk)
    with as_owner():
        ledger.rebuild_balance(balance_id=balance.pk, apply=True, reason="A faulty copy")
    return balance


def admin_url_names(patterns, prefix=""):
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from admin_url_names(pattern.url_patterns, path)
        elif pattern.name and path.startswith("admin/"):
            yield pattern.name


def client_in_role(role: str) -> Client:
    if role == "anonymous":
        return Client()
    if role == "customer":
        return client_of(make_user())
    if role == "superuser":
        return client_of(User.objects.create_superuser("superuser@staff.test"))
    return client_of(make_staff(role))


def expected_status(role: str, allowed: set[str], status: int = 200) -> int:
    """Return the status that a role gets: ``status`` if it is allowed, a redirect to the login if it is not staff."""
    if role in {"anonymous", "customer"}:
        return 302
    return status if role in allowed else 403


def parse_model_page(name: str):
    """Return (app, model, page) for the URL name of a page of a model, or None."""
    for app, models in VIEWERS.items():
        for model in models:
            match = re.fullmatch(f"{app}_{model}_(.+)", name)
            if match:
                return app, model, match[1]
    return None


def all_requests(role: str):
    """Yield (URL name, method, address, expected status) for every address of the admin."""
    for name in sorted({*admin_url_names(get_resolver().url_patterns)} - {"console_action"}):
        if name == "app_list":
            yield from app_list_requests(role)
        elif name in OTHER_PAGES:
            yield name, "get", *other_page(role, name)
            if name == "save_filter":
                # Staff who see a list may save filters of it, auditors included: it changes nothing in the ledger.
                address, _ = other_page(role, name)
                yield name, "post", address + "?type__exact=usage", expected_status(role, STAFF, 302)
        else:
            model_page = parse_model_page(name)
            assert model_page is not None, f"{name} is new: add the roles that may open it"
            yield from model_requests(role, name, *model_page)


def app_list_requests(role: str):
    for app, models in VIEWERS.items():
        viewers = set().union(*models.values())
        # An app of which a member of staff may view no model does not exist for them.
        hidden = role in STAFF and role not in viewers
        status = 404 if hidden else expected_status(role, viewers)
        yield "app_list", "get", reverse("admin:app_list", args=[app]), status


def other_page(role: str, name: str) -> tuple[str, int]:
    allowed, status = OTHER_PAGES[name]
    user = User.objects.get(email="root@staff.test")
    arguments: dict[str, list[Any]] = {
        "view_on_site": [ContentType.objects.get_for_model(User).pk, user.pk],
        "auth_user_password_change": [user.pk],
        "save_filter": ["credits", "credittransaction"],
        "delete_filter": [user.pk],
    }
    status = 200 if name == "login" and role not in STAFF else expected_status(role, allowed, status)
    full_name = name if name in NOT_IN_ADMIN_NAMESPACE else f"admin:{name}"
    return reverse(full_name, args=arguments.get(name, [])), status


def model_requests(role: str, name: str, app: str, model: str, page: str):
    viewers, model_class = VIEWERS[app][model], apps.get_model(app, model)
    if page in {"changelist", "add", "export", "dry_run"}:
        allowed = {
            "changelist": viewers,
            "add": ADDERS.get(model, set()),
            "export": viewers & EXPORTERS,
            "dry_run": viewers,
        }
        yield name, "get", reverse(f"admin:{name}"), expected_status(role, allowed[page])
        return
    row = model_class._default_manager.order_by("pk").first()
    assert row is not None, f"the fixture has no row of {model}"
    if page == "simple_history":
        version = model_class.history.filter(**{model_class._meta.pk.name: row.pk}).first()
        if version is not None:
            yield name, "get", reverse(f"admin:{name}", args=[row.pk, version.pk]), expected_status(role, viewers)
        return
    address = reverse(f"admin:{name}", args=[row.pk])
    if page in {"change", "history"}:
        yield name, "get", address, expected_status(role, viewers)
        if page == "change" and model != "approvalrequest":
            # Dated rows are never changed: the response redirects with a message.
            dated = model in {"featureprice", "recoverycost"}
            yield name, "post", address, 302 if dated else expected_status(role, CHANGERS.get(model, set()))
    elif page == "delete":
        yield name, "get", address, expected_status(role, DELETERS.get(model, set()))
        yield name, "post", address, expected_status(role, DELETERS.get(model, set()))
    elif page == "raise":
        # Without a proposed increase there is nothing to confirm: the response redirects to the list.
        yield name, "get", address, expected_status(role, set())
        yield name, "post", address, expected_status(role, STAFF, 302)
    elif page == "retry":
        yield name, "get", address, expected_status(role, set())
        yield name, "post", address, expected_status(role, PERFORMERS["allocate"], 302)
    else:
        pytest.fail(f"{name} is new: add the roles that may open it")


@pytest.mark.parametrize("role", ROLES)
class TestEveryRole:
    @pytest.mark.slow
    def test_a_role_can_open_exactly_its_pages(self, balance, role):
        client, differences = client_in_role(role), []

        for name, method, address, expected in all_requests(role):
            status = getattr(client, method)(address).status_code
            if status != expected:
                differences.append(f"{method} {name}: {status}, not {expected}")

        assert not differences

    def test_a_role_can_perform_exactly_its_actions(self, balance, role):
        client, differences = client_in_role(role), []
        subjects = {
            "transaction": CreditTransaction.objects.filter(type="usage").get().pk,
            "grant": balance.grants.first().pk,
            "hold": CreditHold.objects.get().pk,
            "limit": ledger.set_limit(owner=balance.owner, amount=5, period="day").limit.id,
        }

        for code, action in ACTIONS.items():
            subject = {action.subject_model: subjects[action.subject_model]} if action.subject_model else {}
            address = action_url(code, balance, **subject)
            expected = expected_status(role, PERFORMERS[code])
            statuses = {client.get(address).status_code, client.post(address, {"confirmed": "yes"}).status_code}
            if statuses != {expected}:
                differences.append(f"{code}: {statuses}, not {expected}")

        assert not differences
        assert StaffAction.objects.count() == 1

    def test_a_role_can_decide_on_requests_if_it_may_approve(self, balance, role):
        client, row = client_in_role(role), ApprovalRequest.objects.get()
        address = reverse("admin:console_approvalrequest_change", args=[row.pk])

        response = client.post(address, {"decision": "decline", "note": "No"})

        assert response.status_code == (302 if role in APPROVERS else expected_status(role, set()))
        row.refresh_from_db()
        assert row.status == ("declined" if role in APPROVERS else "pending")


class TestAuditor:
    def test_an_auditor_can_view_every_model(self, balance):
        auditor = make_staff("auditor")

        assert all(model_admin.opts.app_label in VIEWERS for model_admin in admin.site._registry.values())
        for model in admin.site._registry:
            assert auditor.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}"), model

    def test_an_auditor_can_change_nothing(self, db):
        codenames = Permission.objects.filter(group__name="auditor").values_list("codename", flat=True)

        assert {codename.split("_")[0] for codename in codenames} == {"view", "export"}


class TestGroups:
    def test_the_migration_creates_the_groups_with_their_ceilings(self, db):
        ceilings = {row.group.name: (row.per_action, row.per_day) for row in ManualCreditCeiling.objects.all()}

        assert set(Group.objects.values_list("name", flat=True)) == {"support", "support lead", "finance", "auditor"}
        assert ceilings == {"support": (500, 2_000), "support lead": (5_000, 25_000), "finance": (50_000, 250_000)}

    def test_the_migration_creates_the_permissions_that_django_would_create(self, db):
        for permission in Permission.objects.filter(group__isnull=False).distinct():
            model: Any = permission.content_type.model_class()
            standard = {f"{verb}_{model._meta.model_name}" for verb in model._meta.default_permissions}
            custom = dict(model._meta.permissions)
            assert permission.codename in standard | set(custom), permission
            if permission.codename in custom:
                assert permission.name == custom[permission.codename]


class TestCeilingPage:
    @pytest.fixture
    def ceiling(self, db):
        return ManualCreditCeiling.objects.get(group__name="support")

    def send(self, ceiling, reason):
        address = reverse("admin:console_manualcreditceiling_change", args=[ceiling.pk])
        data = {"per_action": "400", "per_day": "2000", "change_reason": reason}
        client = client_of(make_staff("finance"))
        return client.post(address, {**data, **version_of(client, address)})

    def test_a_change_of_a_ceiling_is_in_its_history_with_user_and_reason(self, ceiling):
        self.send(ceiling, "More outages")

        ceiling.refresh_from_db()
        assert ceiling.per_action == 400
        latest = ceiling.history.latest()
        assert latest.history_user is not None
        assert latest.history_change_reason == "More outages"

    def test_a_change_of_a_ceiling_needs_a_reason(self, ceiling):
        response = self.send(ceiling, "")

        ceiling.refresh_from_db()
        assert (response.status_code, ceiling.per_action) == (200, 500)
