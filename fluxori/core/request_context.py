"""The id of the current HTTP request, for code that has no access to the request, such as the ledger and the logs."""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
