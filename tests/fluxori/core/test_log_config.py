import logging
import logging.config

import structlog

from fluxori.core import log_config


def formatted(*, as_json):
    """Return how a fault is written that happened beside a secret."""
    settings = log_config.configured(as_json=as_json, level="INFO")["formatters"]["structlog"]
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=settings["processors"], foreign_pre_chain=settings["foreign_pre_chain"]
    )
    password = "hunter2"  # in a local variable, where a pretty traceback would find it
    try:
        raise RuntimeError(f"{len(password)} characters")
    except RuntimeError as fault:
        told = (type(fault), fault, fault.__traceback__)
    return formatter.format(logging.LogRecord("x", logging.ERROR, "x.py", 1, "failed", None, told))


class TestLogs:
    def test_hold_no_local_variables(self):
        for as_json in (True, False):
            written = formatted(as_json=as_json)
            assert "7 characters" in written
            assert "hunter2" not in written.replace('password = "hunter2"', "")
