"""A tour of the API over HTTP: each step prints what it does and checks the response."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from fluxori.devtools.demo.accounts import DOMAIN, DemoAccounts

Json = dict[str, Any]
Report = Callable[[str], None]


class TourFailedError(Exception):
    """A response differs from the expected one."""


@dataclass(slots=True)
class Client:
    """An API client with one access token."""

    port: int
    token: str | None = None

    def call(self, method: str, path: str, body: Json | None = None, *, expect: int = 200) -> Json:
        """Return the JSON body of the response.

        :raises TourFailedError: the status is not ``expect``
        """
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if method != "GET":
            headers["Idempotency-Key"] = secrets.token_hex(8)
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status != expect:
            raise TourFailedError(f"{method} {path}: {response.status} instead of {expect}: {text.decode()[:500]}")
        parsed: Json = json.loads(text) if text else {}
        return parsed

    def log_in(self, email: str, password: str) -> None:
        self.token = self.call("POST", "/api/auth/token", {"email": email, "password": password})["access"]


def run_tour(accounts: DemoAccounts, port: int, report: Report) -> None:
    """Create a user, add and spend credits, and check every response.

    :raises TourFailedError: a response differs from the expected one
    """
    admin, caller = Client(port), Client(port)
    admin.log_in(accounts.admin.user.email, accounts.admin.password)
    email, password = f"tour-{secrets.token_hex(4)}@{DOMAIN}", secrets.token_urlsafe(15)
    user = admin.call("POST", "/api/users", {"email": email, "password": password}, expect=201)
    caller.log_in(email, password)
    report(f"  {email} signs up.")

    balance = admin.call("POST", "/api/credits/initialize", {"userId": user["id"], "tier": "explorer"}, expect=201)
    _check(balance, available=400)
    report(f"  initialize: Explorer, {balance['available']} credits for the first month.")

    purchase = {"userId": user["id"], "amount": 100, "type": "purchase", "description": "100 credits"}
    purchased = admin.call("POST", "/api/credits/add", purchase)
    _check(purchased, available=500)
    report(f"  add: 100 credits purchased, {purchased['available']} available.")

    spent = caller.call("POST", "/api/credits/deduct", {"feature": "ai-generated-report"})
    _check(spent, available=460)
    report(f"  deduct: an AI-generated report costs {-spent['transaction']['amount']}, {spent['available']} available.")

    rejected = caller.call("POST", "/api/credits/deduct", {"amount": 5000, "description": "Too much"}, expect=402)
    _check(rejected, code="insufficient_credits", shortfall=4540)
    report(f"  deduct: 5 000 is rejected with 402, {rejected['shortfall']} short; no credits are deducted.")

    month = admin.call("POST", "/api/credits/monthly-allocation", {"userId": user["id"]})
    _check(month, available=460, allocated=False)
    report("  monthly-allocation: initialize has given the credits of this month; they are not added twice.")

    history = caller.call("GET", "/api/credits/history")["results"]
    report("  history, newest first:")
    for row in history:
        report(f"    {row['sequence']}. {row['type']:<10} {row['amount']:+5}  balance {row['newBalance']}")
    _check({"amounts": [row["amount"] for row in history]}, amounts=[-40, 100, 400])


def _check(response: Json, **expected: Any) -> None:
    differences = {name: response.get(name) for name, value in expected.items() if response.get(name) != value}
    if differences:
        raise TourFailedError(f"The response has {differences} instead of {expected}.")
