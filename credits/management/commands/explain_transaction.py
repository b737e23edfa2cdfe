"""Print everything that determined one transaction, for support. Read-only."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from credits import queries
from credits.api.serializers.transactions import ExplainedTransactionResponse
from credits.domain.errors import TransactionNotFoundError
from fluxori.api.rendering import to_json
from fluxori.core.command_line import EXIT_FAILED
from fluxori.db.operator_command import OperatorCommand

Payload = dict[str, Any]


class Command(OperatorCommand):
    help = (
        "Print everything that determined the amount of one transaction: price, grants, hold, actor, reason, the"
        " transactions that it corrects or that correct it, and its place in the hash chain. Nothing is written. Exit"
        " status 0: done; 1: there is no such transaction."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("transaction", type=UUID, metavar="ID", help="The transaction's id.")
        parser.add_argument(
            "--json",
            action="store_true",
            help="Print one JSON object, the response of GET /api/credits/transactions/ID.",
        )

    def handle(self, *, transaction: UUID, json: bool, **_: Any) -> None:
        try:
            record = queries.get_transaction(transaction_id=transaction)
        except TransactionNotFoundError as error:
            raise CommandError(f"{error.title}: {transaction}.", returncode=EXIT_FAILED) from None
        payload = to_json(ExplainedTransactionResponse.render(record)).decode()
        account = queries.account_names([record.balance_id])[record.balance_id]
        self.stdout.write(payload if json else _format(payload, account))


def _format(payload: str, account: str) -> str:
    """Return the JSON as labelled lines, one fact per line, with the name of the account."""
    return "\n".join(f"{label:<12} {value}".rstrip() for label, value in _lines(json.loads(payload), account))


def _lines(payload: Payload, account: str) -> Iterator[tuple[str, str]]:
    owner = f"organization {payload['organizationId']}" if payload["organizationId"] else f"user {payload['userId']}"
    yield payload["type"], f"{payload['amount']:+,} credits, transaction {payload['id']}"
    yield "number", f"{payload['sequence']} of {owner} ({account})"
    yield "balance", f"{payload['newBalance'] - payload['amount']:,} before, {payload['newBalance']:,} after"
    yield "when", payload["timestamp"]
    if payload["organizationId"] and payload["userId"]:
        yield "member", payload["userId"]
    if payload["feature"]:
        price = payload["price"]
        yield "feature", f"{payload['quantity']:,} of {payload['feature']}"
        yield "price", f"{price['credits']:,} credits each, in force from {price['effectiveFrom']}"
    for entry in payload["entries"]:
        yield "entry", _entry(entry)
    yield "actor", _actor(payload)
    for label, field in _LABELS.items():
        if payload[field]:
            yield label, payload[field]
    if payload["metadata"] is not None:
        yield "metadata", json.dumps(payload["metadata"], ensure_ascii=False)
    for reversal in payload["reversedBy"]:
        yield "reversed by", reversal
    yield "hash", payload["hash"]
    yield "predecessor", payload["previousHash"]


_LABELS = {
    "hold": "holdId",
    "reverses": "reverses",
    "counterpart": "counterpartId",
    "description": "description",
    "reference": "referenceId",
    "reason": "reason",
    "key": "idempotencyKey",
}


def _entry(entry: Payload) -> str:
    if entry["grantId"] is None:
        return f"{entry['amount']:+,} on debt"
    until = f"until {entry['expiresAt']}" if entry["expiresAt"] else "without expiry"
    return (
        f"{entry['amount']:+,} on grant {entry['grantId']}, {entry['source']} {until};"
        f" {entry['remainingAfter']:,} remain free"
    )


def _actor(payload: Payload) -> str:
    actor = payload["actor"]
    if actor:
        return f"{actor['email']}, {actor['role']}, {actor['id']}"
    return payload["actorId"] or "none: the application itself, or a due event"
