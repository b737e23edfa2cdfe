"""The logging configuration: structlog on top of the standard library.

Each record carries the id of its request. It is one readable line in development, one JSON object in production.
"""

import sys
from typing import Any

import orjson
import structlog

_SHARED_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _to_json(event: Any, **_: Any) -> str:
    """Serialize a log line; what has no JSON form becomes its text."""
    return orjson.dumps(event, default=str).decode()


def log_config(*, as_json: bool, level: str) -> dict[str, Any]:
    """Configure structlog and return the value of Django's LOGGING. Bodies, headers and tokens are never logged."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED_PROCESSORS,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderers: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]
        if as_json
        # A plain traceback: structlog's default shows local variables, which contain bodies and tokens.
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": _SHARED_PROCESSORS,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structlog": formatter},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structlog"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django": {"level": level},
            # RequestLogMiddleware logs every request once, with its id and status.
            "django.request": {"level": "CRITICAL"},
            # A request that Django refuses, for its Host header for example, has its reason in that line too.
            "django.security": {"level": "CRITICAL"},
            "django.security.csrf": {"level": level},
            "django.server": {"level": "ERROR"},
            # It logs every periodic job at each start of any process. Of the worker, the jobs are of interest.
            "procrastinate": {"level": "WARNING"},
            "procrastinate.worker": {"level": level},
        },
    }
