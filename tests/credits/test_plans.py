"""Every statement of a request reads the tables of the ledger by an index, in a large ledger.

The requests are sent to every endpoint of the ledger and the tiers, on one of the largest balances.
"""

from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from django.urls import get_resolver

from credits.models import CreditBalance, CreditGrant, CreditTransaction
from fluxori.core import clock
from fluxori.identity.models import Membership, User
from tests.support.factories.credits import make_user
from tests.support.large_ledger import seed_ledger
from tests.support.plans import reads_without_index, recorded_statements

pytestmark = pytest.mark.django_db(transaction=True)

PREFIX = "/api/credits/"


def first(rows):
    """Return the first row; the ledger must have one."""
    row = rows.first()
    assert row is not None
    return row


class Requests:
    """One request or more for each endpoint; ``sent`` are the methods and routes."""

    def __init__(self, api):
        self.sent = set()
        self.api = api
        self.admin = api(make_user(role=User.Role.ADMIN))
        balances = CreditBalance.objects.order_by("-sequence")
        # One that expired credits and refunds are part of.
        self.balance = first(balances.filter(user__isnull=False, balance__gt=1000))
        self.pool = first(balances.filter(organization__isnull=False, balance__gt=100))
        self.user = api(self.balance.user)
        owner = Membership.objects.get(organization=self.pool.organization, role=Membership.Role.OWNER)
        self.owner = api(owner.user)
        self.keys = map("plan-{}".format, count())

    def send(self, client, method, route, body=None, expected=(200, 201, 204), **parts):
        self.sent.add((method, route))
        path = "/api/" + route.format(**parts)
        options = {"HTTP_IDEMPOTENCY_KEY": next(self.keys)} if method != "get" else {}
        response = getattr(client, method)(path, body or {}, **options)
        assert response.status_code in expected, (method, route, response.content)
        return response.json() if response.content else None

    def send_all(self):
        self.read()
        self.spend()
        self.hold()
        self.correct()
        self.change_limits_and_tiers()

    def read(self):
        since = (clock.now() - timedelta(days=30)).isoformat()
        pool = {"organizationId": str(self.pool.organization_id)}
        mine = {"userId": str(self.balance.user_id)}
        for client, owner in ((self.user, {}), (self.owner, pool), (self.admin, mine)):
            self.send(client, "get", "credits/balance", owner)
            self.send(client, "get", "credits/balance", {**owner, "at": since})
            self.send(client, "get", "credits/check", {**owner, "amount": 1})
            self.send(client, "get", "credits/history", owner)
            for name, value in (
                ("type", "usage"),
                ("feature", "simple-ai-insight"),
                ("from", since),
                ("referenceId", "x"),
                ("memberId", str(self.balance.user_id)),
            ):
                self.send(client, "get", "credits/history", {**owner, name: value})
            self.send(client, "get", "credits/grants", owner)
            self.send(client, "get", "credits/grants", {**owner, "status": "active"})
            for group in ("day", "feature", "member", "type"):
                self.send(client, "get", "credits/usage", {**owner, "groupBy": group, "from": since})
            self.send(client, "get", "credits/forecast", owner)
            self.send(client, "get", "credits/holds", owner)
            self.send(client, "get", "credits/holds", {**owner, "status": "open"})
            self.send(client, "get", "credits/limits", owner)
        self.send(self.user, "get", "credits/features")
        self.send(self.user, "get", "tiers")
        self.send(self.admin, "get", "credits/balances")
        self.send(self.admin, "get", "credits/balances", {"tier": "pro", "maxAvailable": 100})
        transaction = first(CreditTransaction.objects.filter(balance=self.balance, type="usage"))
        for client in (self.user, self.admin):
            self.send(client, "get", "credits/transactions/{id}", id=transaction.pk)

    def spend(self):
        spending = {"amount": 2, "description": "A request"}
        pool = {"organizationId": str(self.pool.organization_id)}
        self.send(self.user, "post", "credits/deduct", {"feature": "simple-ai-insight"})
        self.send(self.user, "post", "credits/deduct", {**spending, "amount": 10**11}, expected=[402])
        self.send(self.owner, "post", "credits/deduct", spending | pool)
        self.keys = map("again-{}".format, [0, 0])
        for _ in range(2):
            self.send(self.user, "post", "credits/deduct", spending)
        self.keys = map("more-{}".format, count())
        items = [{**spending, "idempotencyKey": f"item-{number}"} for number in range(3)]
        self.send(self.user, "post", "credits/deduct/batch", {"items": items}, expected=[200, 207])
        added = {"userId": str(self.balance.user_id), "amount": 50, "description": "For a check"}
        self.send(self.admin, "post", "credits/add", {**added, "type": "purchase"})
        tomorrow = (clock.now() + timedelta(days=1)).isoformat()
        self.send(self.admin, "post", "credits/add", {**added, "type": "promotion", "expiresAt": tomorrow})

    def hold(self):
        place = {"amount": 5, "description": "A hold"}
        holds = [self.send(self.user, "post", "credits/holds", place)["hold"]["id"] for _ in range(2)]
        self.send(self.user, "get", "credits/holds/{id}", id=holds[0])
        self.send(self.user, "post", "credits/holds/{id}/extend", {"expiresInSeconds": 7200}, id=holds[0])
        self.send(self.user, "post", "credits/holds/{id}/capture", {"amount": 7}, id=holds[0])
        self.send(self.user, "post", "credits/holds/{id}/capture", expected=[409], id=holds[0])
        self.send(self.user, "post", "credits/holds/{id}/release", id=holds[1])

    def correct(self):
        transactions = CreditTransaction.objects.filter(balance=self.balance)
        used, bought = first(transactions.filter(type="usage")), first(transactions.filter(type="purchase"))
        expired = CreditGrant.objects.filter(balance=self.balance, expires_at__lte=clock.now()).values("pk")
        old = transactions.filter(type="usage", entries__grant__in=expired).first()
        grants = CreditGrant.objects.filter(balance=self.balance, remaining__gt=0)
        reason = {"reason": "A check"}
        later = (clock.now() + timedelta(days=900)).isoformat()
        refund = self.send(self.admin, "post", "credits/transactions/{id}/refund", reason, id=used.pk)
        if old is not None:
            refund = self.send(self.admin, "post", "credits/transactions/{id}/refund", reason, id=old.pk)
        revival = reason | {"expiresAt": later}
        again = UUID(refund["transaction"]["id"])
        self.send(self.admin, "post", "credits/transactions/{id}/refund", revival, expected=[200, 201, 409], id=again)
        self.send(self.admin, "post", "credits/transactions/{id}/reverse", reason | {"amount": 1}, id=bought.pk)
        ending, other = (
            first(grants.filter(expires_at__gt=clock.now()).order_by("expires_at")),
            first(grants.order_by("-pk")),
        )
        self.send(self.admin, "post", "credits/grants/{id}/extend", reason | {"expiresAt": later}, id=ending.pk)
        self.send(self.admin, "post", "credits/grants/{id}/void", reason, id=other.pk)
        for amount in (10, -5):
            body = reason | {"amount": amount, "userId": str(self.balance.user_id)}
            self.send(self.admin, "post", "credits/adjust", body)

    def change_limits_and_tiers(self):
        mine = {"userId": str(self.balance.user_id)}
        limit = self.send(self.user, "put", "credits/limits", {"period": "day", "amount": 10**6})
        self.send(self.user, "post", "credits/deduct", {"amount": 1, "description": "Within the limit"})
        self.send(self.user, "delete", "credits/limits/{id}", id=limit["id"])
        new = {"userId": str(make_user().pk), "tier": "explorer"}
        self.send(self.admin, "post", "credits/initialize", new)
        for tier, terms in (
            ("growth", {}),
            ("pro", {"proration": "difference"}),
            ("growth", {"effective": "nextPeriod"}),
        ):
            body = {**new, "tier": tier, **terms}
            self.send(self.admin, "post", "credits/tier/preview", body)
            self.send(self.admin, "put", "credits/tier", body)
        self.send(self.admin, "delete", "credits/tier/scheduled?userId=" + new["userId"])
        self.send(self.admin, "post", "credits/monthly-allocation", mine)
        transfer = {"from": mine, "to": {"userId": new["userId"]}, "amount": 1, "reason": "A check"}
        self.send(self.admin, "post", "credits/transfers", transfer)
        # Whether the change is possible depends on the subscription; it is read in any case.
        owner, any_status = {"userId": new["userId"]}, range(200, 500)
        later = (clock.now() + timedelta(days=1)).isoformat()
        self.send(self.user, "get", "credits/balance/preview", {"at": later}, expected=any_status)
        self.send(self.admin, "post", "credits/tier/pause", owner, expected=any_status)
        self.send(self.admin, "post", "credits/tier/resume", owner, expected=any_status)
        self.send(self.admin, "delete", "credits/tier?userId=" + new["userId"], expected=any_status)


def routes():
    """Return the methods and routes of the ledger and the tiers, with ``{id}`` for each parameter."""
    result = set()
    for pattern in get_resolver("credits.api.urls").url_patterns + get_resolver("tiers.api.urls").url_patterns:
        route = str(pattern.pattern)
        route = "/".join("{id}" if part.startswith("<") else part for part in route.split("/"))
        view: Any = pattern.callback
        result |= {(method, route) for method in view.actions if method != "head"}
    return result


def check_plans(api, transactions):
    seed_ledger(transactions)
    requests = Requests(api)

    with recorded_statements() as statements:
        requests.send_all()

    found = [(tables, statement.sql) for statement in statements if (tables := reads_without_index(statement))]
    assert found == []
    assert len(statements) > 60
    assert routes() - {(method, route.partition("?")[0]) for method, route in requests.sent} == set()


class TestStatementsOfRequests:
    @pytest.mark.slow
    def test_use_an_index_among_100_000_transactions(self, api):
        check_plans(api, 100_000)

    @pytest.mark.drill
    def test_use_an_index_among_1_000_000_transactions(self, api):
        check_plans(api, 1_000_000)
