"""Each role sees and can do exactly what it should: every address of the admin, tried by everybody."""

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
from fluxori.identity.models import User
from tests.support.factories.credits import deduct, hold, make_user
from tests.support.factories.identity import MembershipFactory
from tests.support.staff import action_request, action_url, client_of, make_staff
from tests.support.times import HOUR
from tiers import operations as tiers
from tiers.models import RecoveryCost

DESK = {"support", "support lead", "finance", "auditor", "superuser"}
LEAD = {"support lead", "superuser"}
MONEY = {"finance", "superuser"}
ROOT = {"superuser"}
ROLES = ["nobody", "customer", *sorted(DESK)]

SEES = {
    "identity": {"user": DESK, "organization": DESK, "membership": DESK},
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
            "rejectedattempt",
            "feature",
            "featureprice",
        ],
        DESK,
    ),
    "tiers": {
        **dict.fromkeys(["tier", "subscription", "monthlyallocation", "allocationrun"], DESK),
        "recoverycost": {"finance", "auditor", "superuser"},
    },
    "console": dict.fromkeys(["staffaction", "approvalrequest", "manualcreditceiling"], DESK),
}
ADDS = {
    "user": ROOT,
    "organization": ROOT,
    "group": ROOT,
    "feature": MONEY,
    "featureprice": MONEY,
    "tier": MONEY,
    "recoverycost": MONEY,
    "manualcreditceiling": MONEY,
}
CHANGES = {
    "user": ROOT,
    "organization": ROOT,
    "group": ROOT,
    "feature": MONEY,
    "tier": MONEY,
    "manualcreditceiling": MONEY,
}
DELETES = {"group": ROOT}

ACT_OF = {
    "add": {"support", "support lead", "finance", "superuser"},
    "adjust": {"support lead", "finance", "superuser"},
    "refund": {"support", "support lead", "finance", "superuser"},
    "reverse": MONEY,
    "void": {"support lead", "finance", "superuser"},
    "extend": LEAD,
    "release": {"support", "support lead", "superuser"},
    "tier": LEAD,
    "cancel_tier_change": LEAD,
    "limit": LEAD,
    "remove_limit": LEAD,
    "allocate": {"support", "support lead", "superuser"},
    "suspend": {"support", "support lead", "superuser"},
    "resume": {"support", "support lead", "superuser"},
}
APPROVES = {"support lead", "finance", "superuser"}
EXPORTS = {"support lead", "finance", "auditor", "superuser"}

# What is no page of a model: by name, who gets in, and what they get.
ALSO = {
    "index": (DESK, 200),
    "login": (DESK, 302),
    "logout": (DESK, 405),
    "password_change": (DESK, 200),
    "password_change_done": (DESK, 200),
    "autocomplete": (set(), 403),
    "jsi18n": (DESK, 200),
    "search": (DESK, 200),
    "view_on_site": (DESK, 404),
    "console_find_owner": (ACT_OF["add"], 200),
    "auth_user_password_change": (ROOT, 200),
    "find": (DESK, 200),
    # Sent from the list of transactions; whose filters one may delete, test_filters says.
    "save_filter": (set(), 403),
    "delete_filter": (set(), 403),
}


@pytest.fixture
def desk(db):
    """One row of everything there is to look at."""
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
    RecoveryCost.objects.get_or_create(effective_from=now - timedelta(days=1), defaults={"rand_per_credit": "0.02"})
    return balance


def walk(patterns, prefix=""):
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from walk(pattern.url_patterns, path)
        elif pattern.name and path.startswith("admin/"):
            yield pattern.name


def person(role: str) -> Client:
    if role == "nobody":
        return Client()
    if role == "customer":
        return client_of(make_user())
    if role == "superuser":
        return client_of(User.objects.create_superuser("boss@staff.test"))
    return client_of(make_staff(role))


def expected(role: str, allowed: set[str], status: int = 200) -> int:
    if role in {"nobody", "customer"}:
        return 302
    return status if role in allowed else 403


def model_page(name: str):
    """Return (app, model, page) of a model's page, or None."""
    for app, models in SEES.items():
        for model in models:
            found = re.fullmatch(f"{app}_{model}_(.+)", name)
            if found:
                return app, model, found[1]
    return None


def addresses(role: str):
    """Yield (name, method, address, expected status) for everything in the admin."""
    for name in sorted({*walk(get_resolver().url_patterns)} - {"console_action"}):
        if name == "app_list":
            yield from lists_of_apps(role)
        elif name in ALSO:
            yield name, "get", *also(role, name)
            if name == "save_filter":
                # It changes no row of the ledger: whoever sees a list may keep a filter of it, auditors too.
                yield name, "post", also(role, name)[0] + "?type__exact=usage", expected(role, DESK, 302)
        else:
            place = model_page(name)
            assert place is not None, f"{name} is new: say here who may see it"
            yield from pages_of(role, name, *place)


def lists_of_apps(role: str):
    for app, models in SEES.items():
        sees = set().union(*models.values())
        # Where somebody may see nothing of an app, there is none.
        hidden = role in DESK and role not in sees
        yield "app_list", "get", reverse("admin:app_list", args=[app]), 404 if hidden else expected(role, sees)


def also(role: str, name: str) -> tuple[str, int]:
    allowed, status = ALSO[name]
    someone = User.objects.get(email="root@staff.test")
    kind = ContentType.objects.get_for_model(User)
    known: dict[str, list[Any]] = {
        "view_on_site": [kind.pk, someone.pk],
        "auth_user_password_change": [someone.pk],
        "save_filter": ["credits", "credittransaction"],
        "delete_filter": [someone.pk],
    }
    wanted = 200 if name == "login" and role not in DESK else expected(role, allowed, status)
    outside = name in {"find", "save_filter", "delete_filter"}
    return reverse(name if outside else f"admin:{name}", args=known.get(name, [])), wanted


def pages_of(role: str, name: str, app: str, model: str, page: str):
    sees, kind = SEES[app][model], apps.get_model(app, model)
    if page in {"changelist", "add"}:
        yield name, "get", reverse(f"admin:{name}"), expected(role, sees if page == "changelist" else adds(model))
        return
    if page in {"export", "dry_run"}:
        yield name, "get", reverse(f"admin:{name}"), expected(role, sees & EXPORTS if page == "export" else sees)
        return
    row = kind._default_manager.order_by("pk").first()
    assert row is not None, f"there is no {model} to look at"
    address = reverse(f"admin:{name}", args=[row.pk]) if page != "simple_history" else ""
    if page in {"change", "history"}:
        yield name, "get", address, expected(role, sees)
        if page == "change" and model != "approvalrequest":
            # Where rows are dated, sending a changed one is answered with how to add another.
            dated = model in {"featureprice", "recoverycost"}
            yield name, "post", address, 302 if dated else expected(role, CHANGES.get(model, set()))
    elif page == "delete":
        yield name, "get", address, expected(role, DELETES.get(model, set()))
        yield name, "post", address, expected(role, DELETES.get(model, set()), 200)
    elif page == "again":
        yield name, "get", address, expected(role, set())
        yield name, "post", address, expected(role, ACT_OF["allocate"], 302)
    elif page == "simple_history":
        version = kind.history.filter(**{kind._meta.pk.name: row.pk}).first()
        if version is not None:
            yield name, "get", reverse(f"admin:{name}", args=[row.pk, version.pk]), expected(role, sees)
    else:
        pytest.fail(f"{name} is new: say here who may see it")


def adds(model: str) -> set[str]:
    return ADDS.get(model, set())


@pytest.mark.parametrize("role", ROLES)
class TestEveryAddress:
    def test_answers_each_role_as_it_should(self, desk, role):
        client, wrong = person(role), []

        for name, method, address, status in addresses(role):
            got = getattr(client, method)(address).status_code
            if got != status:
                wrong.append(f"{method} {name}: {got}, not {status}")

        assert not wrong

    def test_lets_each_role_do_its_acts(self, desk, role):
        client, wrong = person(role), []
        about = {
            "transaction": CreditTransaction.objects.filter(type="usage").get().pk,
            "grant": desk.grants.first().pk,
            "hold": CreditHold.objects.get().pk,
            "limit": ledger.set_limit(owner=desk.owner, amount=5, period="day").limit.id,
        }

        for code, act in ACTIONS.items():
            page = action_url(
                code, desk, **({act.subject_model: about[act.subject_model]} if act.subject_model else {})
            )
            status = expected(role, ACT_OF[code])
            got = client.get(page).status_code, client.post(page, {"confirmed": "yes"}).status_code
            if got != (status, status):
                wrong.append(f"{code}: {got}, not {status}")

        assert not wrong
        assert StaffAction.objects.count() == 1

    def test_lets_each_role_decide_on_requests(self, desk, role):
        client, asked = person(role), ApprovalRequest.objects.get()
        page = reverse("admin:console_approvalrequest_change", args=[asked.pk])

        response = client.post(page, {"decision": "decline", "note": "No"})

        assert response.status_code == (302 if role in APPROVES else expected(role, set()))
        asked.refresh_from_db()
        assert asked.status == ("declined" if role in APPROVES else "pending")


class TestTheAuditor:
    def test_sees_everything_that_is_to_be_seen(self, desk):
        auditor = make_staff("auditor")

        assert all(model_admin.opts.app_label in SEES for model_admin in admin.site._registry.values())
        for model in admin.site._registry:
            assert auditor.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}"), model

    def test_can_change_nothing(self, db):
        may = Permission.objects.filter(group__name="auditor").values_list("codename", flat=True)

        assert {codename.split("_")[0] for codename in may} == {"view", "export"}


class TestTheGroups:
    def test_are_there_with_their_ceilings(self, db):
        ceilings = {row.group.name: (row.per_action, row.per_day) for row in ManualCreditCeiling.objects.all()}

        assert set(Group.objects.values_list("name", flat=True)) == {"support", "support lead", "finance", "auditor"}
        assert ceilings == {"support": (500, 2_000), "support lead": (5_000, 25_000), "finance": (50_000, 250_000)}

    def test_use_permissions_that_django_would_have_made_itself(self, db):
        for permission in Permission.objects.filter(group__isnull=False).distinct():
            model: Any = permission.content_type.model_class()
            standard = {f"{verb}_{model._meta.model_name}" for verb in model._meta.default_permissions}
            named = dict(model._meta.permissions)
            assert permission.codename in standard | set(named), permission
            if permission.codename in named:
                assert permission.name == named[permission.codename]

    def test_keep_their_ceilings_with_a_history(self, db):
        client, row = client_of(make_staff("finance")), ManualCreditCeiling.objects.get(group__name="support")

        page = reverse("admin:console_manualcreditceiling_change", args=[row.pk])
        client.post(page, {"per_action": "600", "per_day": "2000", "change_reason": "More outages"})

        row.refresh_from_db()
        assert row.per_action == 600
        latest = row.history.latest()
        assert latest.history_user is not None
        assert latest.history_change_reason == "More outages"

    def test_change_no_ceiling_without_a_reason(self, db):
        client, row = client_of(make_staff("finance")), ManualCreditCeiling.objects.get(group__name="support")

        page = reverse("admin:console_manualcreditceiling_change", args=[row.pk])
        response = client.post(page, {"per_action": "600", "per_day": "2000", "change_reason": ""})

        row.refresh_from_db()
        assert (response.status_code, row.per_action) == (200, 500)
