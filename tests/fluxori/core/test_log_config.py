import logging
import logging.config

import structlog

from fluxori.core.log_config import log_config


def format_error(*, as_json):
    """Return the log output of an exception raised in a frame that has a secret in a local variable."""
    settings = log_config(as_json=as_json, level="INFO")["formatters"]["structlog"]
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=settings["processors"], foreign_pre_chain=settings["foreign_pre_chain"]
    )
    password = "hunter2"  # structlog's default traceback would show this variable
    try:
        raise RuntimeError(f"{len(password)} characters")
    except RuntimeError as error:
        exc_info = (type(error), error, error.__traceback__)
    return formatter.format(logging.LogRecord("x", logging.ERROR, "x.py", 1, "failed", None, exc_info))


class TestTracebacks:
    def test_contain_no_local_variables(self):
        for as_json in (True, False):
            record_text = format_error(as_json=as_json)
            assert "7 characters" in record_text
            assert "hunter2" not in record_text.replace('password = "hunter2"', "")
