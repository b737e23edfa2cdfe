"""What is known about the request under way, for whoever records it."""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
