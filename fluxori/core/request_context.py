"""What is known about the current HTTP request, for code that has no access to the request, such as the ledger."""

from contextvars import ContextVar
from typing import Any
from uuid import UUID

request_id: ContextVar[str] = ContextVar("request_id", default="")

_log_facts: ContextVar[dict[str, Any] | None] = ContextVar("log_facts", default=None)


def begin_log_facts() -> dict[str, Any]:
    """Begin the facts that the log line of the current request will contain, and return them."""
    facts: dict[str, Any] = {}
    _log_facts.set(facts)
    return facts


def add_log_facts(**facts: Any) -> None:
    """Add facts to the log line of the current request. Outside a request it does nothing."""
    current = _log_facts.get()
    if current is not None:
        current.update(facts)


def add_transaction(transaction_id: UUID) -> None:
    """Name a transaction in the log line of the current request: its id, or for several how many they are."""
    current = _log_facts.get()
    if current is None:
        return
    if "transactions" in current:
        current["transactions"] += 1
    elif current.pop("transaction_id", None) is not None:
        current["transactions"] = 2
    else:
        current["transaction_id"] = str(transaction_id)
