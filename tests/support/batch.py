"""Requests and results of batches of deductions."""

from typing import Any

BATCH = "/api/credits/deduct/batch"
DEDUCT = "/api/credits/deduct"
INSIGHT = {"feature": "simple-ai-insight"}
UNKNOWN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def amount(credits: int, **fields: Any) -> dict[str, Any]:
    """Return an item that deducts ``credits``."""
    return {"amount": credits, "description": "Work", **fields}


def send(client: Any, *items: Any, **options: Any) -> Any:
    """Send a batch and return its response, which is 200 whatever the results."""
    response = client.post(BATCH, {"items": items, **options})
    assert response.status_code == 200, response.json()
    return response


def summary(response: Any) -> list[tuple[int, Any]]:
    """Return the status and the code or amount of each result."""
    return [
        (result["status"], result["body"].get("code") or result["body"]["transaction"]["amount"])
        for result in response.json()["results"]
    ]
