"""Measurement of operations: duration by outcome, and refusals by code."""

from collections.abc import Callable
from functools import wraps
from time import perf_counter
from typing import ParamSpec, TypeVar

from django.db import DatabaseError

from fluxori.core import metrics
from fluxori.core.errors import DomainError, UnavailableError
from fluxori.db.sqlstates import BUSY, sqlstate_of

P = ParamSpec("P")
R = TypeVar("R")


def measured(operation: Callable[P, R]) -> Callable[P, R]:
    """Measure every call of ``operation`` under its name.

    The outcome is ``success``, ``refused`` (a domain error), ``busy`` (it could not be served in time) or ``error``. An
    operation that returns a list succeeds; each domain error in the list is counted as a refusal.
    """
    name = operation.__name__

    @wraps(operation)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        outcome = "error"
        started = perf_counter()
        try:
            result = operation(*args, **kwargs)
            outcome = "success"
        except DomainError as error:
            outcome = "busy" if isinstance(error, UnavailableError) else "refused"
            metrics.operation_refusals.labels(name, error.code).inc()
            raise
        except DatabaseError as error:
            if sqlstate_of(error) in BUSY:
                outcome = "busy"
            raise
        finally:
            metrics.operation_seconds.labels(name, outcome).observe(perf_counter() - started)
        if isinstance(result, list):
            for each in result:
                if isinstance(each, DomainError):
                    metrics.operation_refusals.labels(name, each.code).inc()
        return result

    return run
