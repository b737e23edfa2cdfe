import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from credits import queries
from credits.api.serializers.transactions import ExplainedTransactionResponse
from credits.domain.errors import TransactionNotFoundError
from fluxori.api.rendering import to_json
from fluxori.core.command_line import EXIT_FAILED

Facts = dict[str, Any]


class Command(BaseCommand):
    help = (
        "Say of one transaction everything that made its number: price, grants, hold, who and why, what it reverses and"
        " what reversed it, and its place in the hash chain. It only reads. Exit status 0: done; 1: there is no such"
        " transaction."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("transaction", type=UUID, metavar="ID", help="The transaction's id.")
        parser.add_argument(
            "--json", action="store_true", help="One JSON object: what GET /api/credits/transactions/ID answers."
        )

    def handle(self, *, transaction: UUID, json: bool, **_: Any) -> None:
        try:
            found = queries.get_transaction(transaction_id=transaction)
        except TransactionNotFoundError as missing:
            raise CommandError(f"{missing.title}: {transaction}.", returncode=EXIT_FAILED) from None
        told = to_json(ExplainedTransactionResponse.render(found)).decode()
        self.stdout.write(told if json else _in_words(told))


def _in_words(told: str) -> str:
    """Return the same facts for people, from the JSON itself, so that nothing is said in two ways."""
    return "\n".join(f"{name:<12} {said}".rstrip() for name, said in _lines(json.loads(told)))


def _lines(told: Facts) -> Iterator[tuple[str, str]]:
    owner = f"organization {told['organizationId']}" if told["organizationId"] else f"user {told['userId']}"
    yield told["type"], f"{told['amount']:+,} credits, transaction {told['id']}"
    yield "number", f"{told['sequence']} of {owner}"
    yield "balance", f"{told['newBalance'] - told['amount']:,} before, {told['newBalance']:,} after"
    yield "when", told["timestamp"]
    if told["organizationId"] and told["userId"]:
        yield "member", told["userId"]
    if told["feature"]:
        price = told["price"]
        yield "feature", f"{told['quantity']:,} of {told['feature']}"
        yield "price", f"{price['credits']:,} credits each, in force from {price['effectiveFrom']}"
    for entry in told["entries"]:
        yield "entry", _entry(entry)
    yield "actor", _actor(told)
    for name, field in _PLAIN.items():
        if told[field]:
            yield name, told[field]
    if told["metadata"] is not None:
        yield "metadata", json.dumps(told["metadata"], ensure_ascii=False)
    for later in told["reversedBy"]:
        yield "reversed by", later
    yield "hash", told["hash"]
    yield "predecessor", told["previousHash"]


_PLAIN = {
    "hold": "holdId",
    "reverses": "reverses",
    "description": "description",
    "reference": "referenceId",
    "reason": "reason",
    "key": "idempotencyKey",
}


def _entry(entry: Facts) -> str:
    if entry["grantId"] is None:
        return f"{entry['amount']:+,} on debt"
    until = f"until {entry['expiresAt']}" if entry["expiresAt"] else "without expiry"
    return (
        f"{entry['amount']:+,} on grant {entry['grantId']}, {entry['source']} {until};"
        f" {entry['remainingAfter']:,} remain free"
    )


def _actor(told: Facts) -> str:
    actor = told["actor"]
    if actor:
        return f"{actor['email']}, {actor['role']}, {actor['id']}"
    return told["actorId"] or "nobody in particular: code in the same process, or time itself"
