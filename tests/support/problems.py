"""Reading problem documents in tests."""

from typing import Any

Problem = tuple[int, str, list[tuple[str, str]]]


def problem_of(response: Any) -> Problem:
    """Return the status, the code, and the (field, code) pairs of a problem document."""
    body = response.json()
    assert response["Content-Type"] == "application/problem+json"
    assert body["status"] == response.status_code
    return response.status_code, body["code"], [(error["field"], error["code"]) for error in body.get("errors", [])]


def invalid(field: str, code: str) -> Problem:
    """Return the problem of one invalid field."""
    return 400, "invalid", [(field, code)]
