"""The main job, over real HTTP, told in words."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from fluxori.devtools.demo.accounts import DOMAIN, People

Json = dict[str, Any]
Say = Callable[[str], None]


class WalkFailed(Exception):
    """A step was not answered as it should be."""


@dataclass(slots=True)
class Client:
    """One caller of the API."""

    port: int
    token: str | None = None

    def call(self, method: str, path: str, body: Json | None = None, *, expect: int = 200) -> Json:
        """:raises WalkFailed: if the answer's status is not ``expect``"""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if method != "GET":
            headers["Idempotency-Key"] = secrets.token_hex(8)
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != expect:
            raise WalkFailed(f"{method} {path}: {answer.status} instead of {expect}: {text.decode()[:500]}")
        found: Json = json.loads(text) if text else {}
        return found

    def log_in(self, email: str, password: str) -> None:
        self.token = self.call("POST", "/api/auth/token", {"email": email, "password": password})["access"]


def walk(people: People, port: int, say: Say) -> None:
    """Take a new user through the main job and check every answer.

    :raises WalkFailed: at the first answer that is not as it should be
    """
    admin, caller = Client(port), Client(port)
    admin.log_in(people.admin.user.email, people.admin.password)
    email, password = f"walk-{secrets.token_hex(4)}@{DOMAIN}", secrets.token_urlsafe(15)
    user = admin.call("POST", "/api/users", {"email": email, "password": password}, expect=201)
    caller.log_in(email, password)
    say(f"  {email} signs up.")

    begun = admin.call("POST", "/api/credits/initialize", {"userId": user["id"], "tier": "explorer"}, expect=201)
    _check(begun, available=400)
    say(f"  initialize: Explorer, {begun['available']} credits for the first month.")

    purchase = {"userId": user["id"], "amount": 100, "type": "purchase", "description": "100 credits"}
    bought = admin.call("POST", "/api/credits/add", purchase)
    _check(bought, available=500)
    say(f"  add: 100 credits bought, {bought['available']} available.")

    spent = caller.call("POST", "/api/credits/deduct", {"feature": "ai-generated-report"})
    _check(spent, available=460)
    say(f"  deduct: an AI-generated report costs {-spent['transaction']['amount']}, {spent['available']} available.")

    refused = caller.call("POST", "/api/credits/deduct", {"amount": 5000, "description": "Too much"}, expect=402)
    _check(refused, code="insufficient_credits", shortfall=4540)
    say(f"  deduct: 5 000 is refused with 402, {refused['shortfall']} short; nothing was taken.")

    month = admin.call("POST", "/api/credits/monthly-allocation", {"userId": user["id"]})
    _check(month, available=860, allocated=True)
    say(f"  monthly-allocation: {month['transaction']['amount']} credits, {month['available']} available.")
    again = admin.call("POST", "/api/credits/monthly-allocation", {"userId": user["id"]})
    _check(again, available=860, allocated=False)
    say("  monthly-allocation again: this month has its credits already, nothing is given twice.")

    history = caller.call("GET", "/api/credits/history")["results"]
    say("  history, newest first:")
    for row in history:
        say(f"    {row['sequence']}. {row['type']:<10} {row['amount']:+5}  balance {row['newBalance']}")
    _check({"amounts": [row["amount"] for row in history]}, amounts=[400, -40, 100, 400])


def _check(answer: Json, **expected: Any) -> None:
    wrong = {name: answer.get(name) for name, value in expected.items() if answer.get(name) != value}
    if wrong:
        raise WalkFailed(f"expected {expected}, found {wrong}")
